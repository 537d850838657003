/** The cloud's part of a report, on a real port: checks each signature, signs its answers, and keeps what came. */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import {
  BRIDGE_HEADER,
  type MeasurementBatch,
  REPORT_PATH,
  ReportRequest,
  TENANT_HEADER,
  type Watched,
} from '../../src/protocol/messages.ts';
import { NONCE_HEADER, signAnswer, SIGNATURE_HEADER, signRequest, TIME_HEADER } from '../../src/protocol/signature.ts';
import type { BridgeConfig } from '../config.ts';

export interface CannedAnswer {
  status?: number;
  /** Not signed by the right secret. */
  is_forged?: boolean;
  date?: string;
  /** The connection is closed after the batch was taken. */
  is_lost?: boolean;
  /** The batch isn't taken. */
  is_left?: boolean;
  /** From something between here and the cloud. */
  is_unsigned?: boolean;
}

export class TestCloud {
  readonly reports: ReportRequest[] = [];
  readonly batches = new Map<number, MeasurementBatch>();
  readonly problems: string[] = [];
  readonly spools = new Set<string>();
  readonly times: number[] = [];
  /** What the next requests get; then all is well. */
  readonly canned: CannedAnswer[] = [];
  /** Asked for each, before those. */
  answer: ((report: ReportRequest) => CannedAnswer | undefined) | null = null;
  /** Whoever signs with another secret is refused, instead of noted as a problem. */
  refuses_strangers = false;
  refusals = 0;
  /** What comes is looked at only after this. */
  hold: Promise<void> | null = null;
  held = 0;
  checks = 0;
  watched: Watched | null = null;
  readonly #server: Server;
  #config: BridgeConfig | null = null;

  constructor() {
    this.#server = createServer((request, response) => {
      void this.#answer(request).then(answer => {
        if (!answer) return response.destroy();
        response.writeHead(answer.status, answer.headers).end(answer.body);
      });
    });
  }

  async start(port = 0): Promise<void> {
    for (let tries = 1; ; tries++) {
      this.#server.listen(port, '127.0.0.1');
      try {
        return void (await once(this.#server, 'listening'));
      } catch (error) {
        // one that was ours before may be of another's connection for a while
        if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE' || tries > 600) throw error;
        await new Promise(resolve => setTimeout(resolve, 100));
      }
    }
  }

  serve(config: BridgeConfig): void {
    this.#config = config;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  get lines() {
    return [...this.batches.values()].flatMap(batch => batch.routers.flatMap(({ lines }) => lines ?? []));
  }

  /** Status after status of one router, as the batches told it. */
  listStatuses(router_id: string): string[] {
    const all = [...this.batches.values()].flatMap(({ routers }) => routers);
    return all.filter(router => router.router_id === router_id).map(({ status }) => status);
  }

  async stop(): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }

  async #answer(request: IncomingMessage) {
    let body = '';
    for await (const chunk of request) body += String(chunk);
    if (request.url !== REPORT_PATH) return { status: 200, headers: {}, body: '' };
    if (this.hold) this.held++;
    await this.hold;
    const { signing_secret } = this.#config!;
    const nonce = String(request.headers[NONCE_HEADER]);
    const report = ReportRequest.parse(JSON.parse(body));
    const is_signed = await isSigned(signing_secret, request, body);
    if (this.refuses_strangers && !is_signed) {
      this.refusals++;
      return { status: 401, headers: {}, body: '{"success":false}' };
    }
    if (!is_signed) this.problems.push('wrong signature');
    this.#check(request, report.is_check ?? false);
    const wished = this.answer?.(report);
    const canned = wished ?? this.canned.shift() ?? {};
    const { status = 200 } = canned;
    if (report.is_check) this.checks++;
    else if (status === 200 && !canned.is_forged) {
      this.reports.push(report);
      if (report.batch && !canned.is_left) this.#take(report.batch);
    }
    if (canned.is_lost) return null;
    const is_told = report.is_check || report.watched_tag === this.watched?.tag;
    const is_taken = report.batch !== null && !report.is_check && !canned.is_left;
    const data = { batch_taken: is_taken, watched: is_told ? null : this.watched };
    const text = JSON.stringify(status === 200 ? { success: true, data } : { success: false });
    const secret = canned.is_forged || canned.is_unsigned ? 'another' : signing_secret;
    const headers: Record<string, string> = { [SIGNATURE_HEADER]: await signAnswer(secret, nonce, status, text) };
    if (canned.date) headers.date = canned.date;
    return { status, headers, body: text };
  }

  /** As the cloud does: a number that isn't above the last counts as known, and is not stored. */
  #take(batch: MeasurementBatch): void {
    const last = Math.max(0, ...this.batches.keys());
    if (batch.number > last || !this.spools.has(batch.spool_id)) this.batches.set(batch.number, batch);
    this.spools.add(batch.spool_id);
  }

  #check({ headers }: IncomingMessage, is_check: boolean): void {
    const { tenant_id, bridge_id } = this.#config!;
    const time_ms = Number(headers[TIME_HEADER]);
    if (headers[TENANT_HEADER] !== tenant_id || headers[BRIDGE_HEADER] !== bridge_id) this.problems.push('wrong names');
    if (is_check) return;
    if (time_ms <= (this.times.at(-1) ?? 0)) this.problems.push('the time stood still');
    this.times.push(time_ms);
  }
}

async function isSigned(secret: string, { headers, method = '' }: IncomingMessage, body: string): Promise<boolean> {
  const [time_ms, nonce] = [Number(headers[TIME_HEADER]), String(headers[NONCE_HEADER])];
  return headers[SIGNATURE_HEADER] === (await signRequest(secret, { time_ms, nonce, method, path: REPORT_PATH, body }));
}
