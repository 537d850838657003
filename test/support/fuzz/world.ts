import { env } from 'cloudflare:test';
import fc from 'fast-check';
import { Secret, TOTP } from 'otpauth';
import { ROLES } from '../../../src/auth/permissions.ts';
import { listAnswer } from '../../../src/http/envelope.ts';
import type { Route } from '../../../src/http/resource.ts';
import {
  Asker,
  documentPath,
  fillPath,
  fittingBody,
  isLive,
  isOfBridge,
  isPublic,
  nameOf,
  REFERENCES,
  sampleBody,
  takesJson,
} from '../contract.ts';
import { addRows, idFor, resourceOf } from '../rows.ts';
import { type Answer, call, makePublicKey, PASSWORD, TestBridge, TestTenant, type TestUser } from '../world.ts';
import { dayFromNow, thisMonth } from '../calendar.ts';
import type { Document, Knowledge } from './fitting.ts';
import { attempts, type Attempt } from './requests.ts';

/** A provider at whom requests are thrown: what is known of it to throw them well, and what must hold of each answer. */

/** Fields whose form the document doesn't tell, at their edges. Nothing here leads out of this machine. */
const EDGES: Readonly<Record<string, readonly unknown[]>> = {
  phone: ['0812-3456-7890', '+62 (812) 3456 7890', '00000', '+'.padEnd(30, '9'), '021 ()-.', '+1 2 3 4'],
  host: ['10.0.0.1', 'router.local', '::1', 'a'.repeat(63), 'x.'.repeat(100), 'xn--nxasmq6b'],
  ip_address: ['10.0.0.1', '::', 'FE80::1'],
  email: [
    `${'a'.repeat(64)}@contoh.example`,
    "o'brien+x@contoh.example",
    'A@CONTOH.EXAMPLE',
    `a@${'b'.repeat(60)}.example`,
  ],
  url: [
    null,
    '',
    'http://127.0.0.1:9',
    'http://127.0.0.1:9/',
    'http://127.0.0.1:9/x?y#z',
    'http://127.0.0.1:99999',
    'http://[::1]:9',
  ],
  timezone: ['Asia/Jakarta', 'Pacific/Apia', 'Asia/Kathmandu', 'UTC', 'Etc/GMT+12', 'america/new_york'],
  ranges: ['10.0.0.0/8', '0.0.0.0/0', '10.0.0.5', '10.0.0.1-10.0.0.2,10.0.1.0/31', '255.255.255.255', '10.0.0.0/32,'.repeat(50) + '10.1.0.0/32'], // prettier-ignore
  pool_ranges: ['10.254.0.2-10.254.15.254', '10.254.0.0/31', '0.0.0.0-255.255.255.255'],
  next_pool: [null, 'rumah', 'none'],
  rate_limit: [null, '5M/20M', '1k/1k 2k/2k 1k/1k 1/1 8 1k/1k', '0/0', '4294967295/4294967295'],
  queue_name_template: ['{customer_code}', '{customer_code} {full_name}', `${'x'.repeat(85)}{customer_code}`],
  invoice_number_pattern: ['{number}', 'F/{year}/{month}/{number:12}', '漢{number}'],
  receipt_number_pattern: ['{number:1}', 'K{month}/{number}'],
  allowed_addresses: ['10.0.0.0/8', '0.0.0.0/0', '10.0.0.1', '::/0'],
  subnet_mask: ['255.255.255.0', '0.0.0.0', '/24'],
  static_ip: [null, '10.0.0.7', '10.9.0.7', '::7'],
  address_pool: [null, 'rumah', '10.0.0.1'],
  amount: [1, 10_000, 150_000, 1_000_000_000_000],
  period: [thisMonth(), dayFromNow(40).slice(0, 7), dayFromNow(100).slice(0, 7), '2000-01', '2099-12'],
  date: [dayFromNow(-28), '2000-01-01', dayFromNow(0)],
  payment_date: [dayFromNow(-28), '2000-01-01', dayFromNow(0)],
  password: [PASSWORD, 'x'.repeat(200), '\u{1f9d1}'.repeat(72), 'a b c d e f'],
  new_password: [`${PASSWORD}-lain`, '\u{1f9d1}'.repeat(72)],
  customer_code: ['CUST00001', 'cust1', 'CUST99999999999999'],
  variables: [{}],
};

/** Named otherwise than what they point to; the others are in REFERENCES. */
const POINTERS: Readonly<Record<string, string>> = {
  ...REFERENCES,
  device_id: 'devices',
  parent_device_id: 'devices',
  user_id: 'users',
  invoice_id: 'invoices',
  entity_id: 'customers',
};

const ENDS_SESSIONS = ['auth.password', 'sessions.end_all_own'];

const NOBODY = '00000000-0000-0000-0000-000000000000';

export class FuzzWorld implements Knowledge {
  readonly tenant: TestTenant;
  readonly asker: Asker;
  readonly bridge: TestBridge;
  /** How often each status came, by route. */
  readonly tally = new Map<string, Map<number, number>>();
  readonly #database: D1Database;
  #rows: Record<string, string>[] = [];
  /** Of what requests made, the id: by the first part of the path, as in rows. */
  #made: Record<string, string>[] = [];
  #users = new Map<string, TestUser>();
  /** What is spent by being used, by the field that takes it. */
  #supplies: Record<string, string> = {};
  #public_key: unknown = null;
  #route: Route | null = null;
  #request_ids = new Set<string>();

  private constructor(tenant: TestTenant, bridge: TestBridge, database: D1Database, asker: Asker) {
    this.tenant = tenant;
    this.bridge = bridge;
    this.#database = database;
    this.asker = asker;
  }

  static async make(): Promise<FuzzWorld> {
    const tenant = await TestTenant.signUp();
    const [bridge, database, asker] = [await TestBridge.enrol(tenant), await tenant.database(), await Asker.make()];
    const world = new FuzzWorld(tenant, bridge, database, asker);
    await world.#addRows();
    await world.#addWatched();
    world.#public_key = await makePublicKey();
    await world.#restock();
    return world;
  }

  /** What the API says of itself. */
  get document(): Document {
    return this.asker.document as unknown as Document;
  }

  get schemas() {
    return this.document.components.schemas;
  }

  get complaints(): readonly string[] {
    return this.asker.complaints;
  }

  /** Everything sent goes through here; what is wrong with the answer is noted with what was sent. */
  async fuzz(route: Route, { seed, runs }: { seed: number; runs: number }): Promise<void> {
    this.#route = route;
    await this.#sendPlain(route);
    const operation = this.document.paths[documentPath(route.path)]![route.method]!;
    const property = fc.asyncProperty(attempts(route, operation, this), async attempt => {
      await this.#send(route, attempt);
    });
    await fc.assert(property, { seed: seed ^ hashName(nameOf(route)), numRuns: runs, endOnFailure: true });
  }

  know(name: string): fc.Arbitrary<unknown> | null {
    if (name in this.#supplies) return fc.constant(null).map(() => this.#supplies[name]);
    if (name === 'current_password') return fc.constantFrom(PASSWORD, PASSWORD, 'yang-lama-ini-salah');
    if (name === 'public_key') return fc.constant(this.#public_key);
    if (name === 'email') return fc.constantFrom(`ayu@${this.tenant.slug}.example`, ...EDGES.email!);
    if (name === ':tenant') return fc.constantFrom(this.tenant.id, this.tenant.slug, this.tenant.slug.toUpperCase());
    const edges = Object.hasOwn(EDGES, name) ? EDGES[name]! : null;
    return edges && fc.constantFrom(...edges);
  }

  /** Mostly a row of what the name says, ours or one that a request made; sometimes another kind of thing, or nothing. */
  pick(name: string, which: number): string {
    const idOf = (rows: Record<string, string>) =>
      Object.hasOwn(POINTERS, name) ? rows[POINTERS[name]!] : idFor(this.#route!, rows);
    const [ours, made] = [this.#rows, this.#made].map(list => list.map(idOf).filter(id => id !== undefined));
    if (which === 7) return NOBODY;
    if (which === 5) return this.tenant.id;
    const found = which < 3 ? ours!.at(-1) : which < 5 ? (made!.at(-1) ?? ours!.at(-1)) : undefined;
    return found ?? crypto.randomUUID();
  }

  ids(): Record<string, string> {
    return Object.assign({}, ...this.#rows) as Record<string, string>;
  }

  async #addRows(): Promise<void> {
    this.#rows.push(await addRows(this.tenant));
  }

  /** A router and a device that the bridge watches and nobody reaches: only it may report of them. */
  async #addWatched(): Promise<void> {
    const bridge_id = this.bridge.id;
    const router = await this.tenant.post('/routers', { name: 'Menara', host: '10.0.0.2', username: 'api', password: 'rahasia-router', bridge_id }); // prettier-ignore
    const device = await this.tenant.post('/devices', { device_name: 'OLT 2', device_type: 'olt', bridge_id, ip_address: '10.0.0.9' }); // prettier-ignore
    this.#rows.push({ routers: router.id, devices: device.id });
  }

  async #restock(): Promise<void> {
    const { bridges } = this.#rows[0]!;
    const [login, enrolment] = await Promise.all([
      call('POST', '/auth/login', { tenant: this.tenant.slug, body: { email: `ayu@${this.tenant.slug}.example`, password: PASSWORD } }), // prettier-ignore
      this.tenant.call('POST', `/bridges/${bridges}/enroll`),
    ]);
    this.#supplies = { refresh_token: login.data.refresh_token, token: enrolment.data?.token ?? 'x' };
  }

  async #tokenOf(role: (typeof ROLES)[number]): Promise<string> {
    let user = this.#users.get(role);
    if (!user) this.#users.set(role, (user = await this.tenant.addUser(role)));
    return user.token;
  }

  async #send(route: Route, attempt: Attempt): Promise<Answer | null> {
    const { who, mode, path, headers, body, type } = attempt;
    const { complaints } = this.asker;
    const known = complaints.length;
    const token = who === 'nobody' || who === 'bridge' ? null : await this.#tokenOf(who);
    const names_tenant = isPublic(route) && headers['x-tenant-id'] === undefined;
    let answer: Answer | null = null;
    try {
      answer = await this.asker.ask(route, {
        path,
        headers,
        body,
        type,
        token,
        ...(who === 'bridge' && { bridge: this.bridge }),
        ...(names_tenant && { tenant: this.tenant.slug }),
      });
      await this.#judge(route, attempt, answer);
      await this.#recover(route, attempt, answer);
    } catch (error) {
      complaints.push(`${nameOf(route)}: no answer that fits: ${String(error).slice(0, 500)}`);
    }
    for (let at = known; at < complaints.length; at++) complaints[at] += `\n    ${tellAttempt(attempt)} (${mode})`;
    return answer;
  }

  /** As it should be: gets as far as the rows that there are, or the rest would end at the door as well. */
  async #sendPlain(route: Route): Promise<void> {
    const who = isOfBridge(route) ? 'bridge' : isPublic(route) ? 'nobody' : 'admin';
    const headers: Record<string, string> =
      'socket' in route.endpoint.definition.returns ? { upgrade: 'websocket' } : {};
    const path = fillPath(route.path, this.pick('', 0));
    const body = takesJson(route) ? JSON.stringify(await this.#plainBody(route)) : fittingBody(route);
    const answer = await this.#send(route, { mode: 'nothing', who, path, headers, body });
    const is_met =
      answer !== null && (answer.status < 400 || answer.status > 499 || [404, 409].includes(answer.status));
    if (answer)
      this.asker.expect(
        is_met,
        route,
        'refused, and nothing is wrong with it: say in fuzz/world.ts what is right',
        answer,
      );
  }

  /** The code of a second factor that is being set up. */
  async #makeCode(): Promise<string> {
    const body = { current_password: PASSWORD };
    const begun = await call('POST', '/auth/totp', { token: await this.#tokenOf('admin'), body });
    return new TOTP({ secret: Secret.fromBase32(begun.data.secret) }).generate();
  }

  async #plainBody(route: Route): Promise<Record<string, unknown>> {
    const known: Record<string, unknown> = {
      ...this.#supplies,
      current_password: PASSWORD,
      public_key: this.#public_key,
    };
    if (route.endpoint.definition.id === 'auth.login')
      Object.assign(known, { email: `ayu@${this.tenant.slug}.example`, password: PASSWORD });
    if (route.endpoint.definition.id === 'auth.totp.confirm') known.code = await this.#makeCode();
    const sample = sampleBody(route, this.ids());
    return Object.fromEntries(Object.entries(sample).map(([name, value]) => [name, known[name] ?? value]));
  }

  async #judge(route: Route, { path }: Attempt, answer: Answer): Promise<void> {
    const counts = this.tally.get(nameOf(route)) ?? new Map<number, number>();
    this.tally.set(nameOf(route), counts.set(answer.status, (counts.get(answer.status) ?? 0) + 1));
    const { returns } = route.endpoint.definition;
    if (answer.status === 200 && 'list' in returns && !path.includes('fields=')) {
      const { error } = listAnswer(returns.list, returns.meta).safeParse({
        success: true,
        data: answer.data,
        meta: answer.meta,
      });
      this.asker.expect(!error, route, `rows that don't fit: ${error?.message.slice(0, 300)}`, answer);
    }
    const request_id = answer.headers.get('x-request-id')!;
    // one that was sent before may have done something then; what a router didn't answer is an event of its own
    if (answer.status >= 400 && !isLive(route) && !this.#request_ids.has(request_id)) {
      const stored = await this.#database.prepare('SELECT count(*) AS count FROM events WHERE request_id = ?').bind(request_id).first<number>('count'); // prettier-ignore
      this.asker.expect(stored === 0, route, 'refused, and something was stored', answer);
    }
    this.#request_ids.add(request_id);
  }

  /** What an answer used up or took away is there again. */
  async #recover(route: Route, { who, mode }: Attempt, { status, data }: Answer): Promise<void> {
    const is_signed_out = status === 401 && mode !== 'token' && mode !== 'header';
    // whose password was changed, or who signed out, must sign in anew
    if (is_signed_out || ENDS_SESSIONS.includes(route.endpoint.definition.id)) this.#users.delete(who);
    if (status >= 300) return;
    if (status === 201 && !route.path.includes(':') && typeof data?.id === 'string')
      this.#made.push({ [resourceOf(route)]: data.id });
    if (route.method === 'delete') await this.#addRows();
    if (isPublic(route)) await this.#restock();
  }
}

const cut = (text: string) => (text.length > 400 ? `${text.slice(0, 400)}… (${text.length})` : text);

function tellAttempt({ who, path, headers, body, type }: Attempt): string {
  const sent = body instanceof Uint8Array ? `bytes ${[...body.subarray(0, 60)].join(' ')}` : String(body ?? '');
  return `sent by ${who}: ${cut(path)} ${cut(JSON.stringify(headers))} ${type === undefined ? '' : JSON.stringify(type)} ${cut(JSON.stringify(sent))}`;
}

/** Each route has chances of its own: another route changes none of them. */
const hashName = (name: string): number => [...name].reduce((hash, char) => (hash * 31 + char.charCodeAt(0)) | 0, 7);

export const tellRepeat = (part: string) =>
  `RUKUN_FUZZ_SEED=${env.TEST_FUZZ.seed} RUKUN_FUZZ_RUNS=${env.TEST_FUZZ.runs} node scripts/vitest.ts run --project worker test/worker/fuzz.test.ts -t '${part}'`;
