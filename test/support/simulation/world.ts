import { env } from 'cloudflare:test';
import { expect } from 'vitest';
import { sweepTenant } from '../../../src/jobs/sweep.ts';
import { handleProvisioning } from '../../../src/queues/provisioning.ts';
import type { JobMessage } from '../../../src/queues/jobs.ts';
import type { ProvisioningMessage } from '../../../src/queues/wake.ts';
import type { Env } from '../../../src/env.ts';
import { callWith } from '../direct.ts';
import { makeLocalHub } from '../hub.ts';
import { enrolBridge, makeTestAmbient, makeTestContext, recordQueue } from '../network-world.ts';
import { type Answer, type CallOptions, TestTenant } from '../world.ts';
import { checkAll, checkStrangers, checkUntouched } from './checks.ts';
import { Hand } from './hand.ts';
import { Office, type OfficeStep, type Wish } from './office.ts';
import { Router } from './router.ts';
import { type FateStep, type HandStep, isByFate, isByHand, PLANS, type Step, type StepOf } from './steps.ts';
import { Wire } from './wire.ts';

/** Runs schedules, one after the other, on one tenant with two routers behind a bridge that may be killed. */

/** Rounds in which all that is due is done: one is enough where nothing went wrong on the way. */
const MOST_ROUNDS = 10;
/** A machine that is busy may miss a short time limit. */
const TRIES = 3;

export class SimulationCounts {
  schedules = 0;
  steps = { people: 0, hand: 0, fate: 0 };
  refused = 0;
  messages = 0;
  sessions = 0;
  conflicts = 0;
  entries = 0;
}

/** Its calls end when all that they left to do afterwards is done, and what they put into the queue is kept. */
class QuietTenant extends TestTenant {
  readonly mail = recordQueue<ProvisioningMessage>();
  readonly env: Env = {
    ...env,
    PROVISIONING_QUEUE: this.mail.queue,
    JOBS_QUEUE: recordQueue<JobMessage>().queue,
    TENANT_HUB: makeLocalHub(() => this.env),
  };

  override call(method: string, path: string, { body, token = this.admin.token }: CallOptions = {}): Promise<Answer> {
    return callWith(this.env, method, `/api/v1${path}`, { body, token });
  }
}

export class World {
  readonly tenant: QuietTenant;
  readonly database: D1Database;
  readonly bridge_id: string;
  readonly router_ids: string[];
  readonly routers: Router[];
  readonly wire = new Wire();
  readonly counts = new SimulationCounts();
  office!: Office;
  hands: Hand[] = [];
  /** Events up to here are of earlier schedules. */
  first_seq = 0;
  readonly #switched_off = new Set<number>();
  /** Looks and calls that are under way, held up somewhere. */
  #under_way: Promise<void>[] = [];
  #failures: unknown[] = [];

  private constructor(tenant: QuietTenant, database: D1Database, bridge_id: string, router_ids: string[]) {
    this.tenant = tenant;
    this.database = database;
    this.bridge_id = bridge_id;
    this.router_ids = router_ids;
    this.routers = env.TEST_SIMULATION.routers.map(access => new Router(access));
  }

  static async make(): Promise<World> {
    const { id, slug, admin } = await TestTenant.signUp();
    const tenant = new QuietTenant(id, slug, admin);
    const { bridge, routers } = env.TEST_SIMULATION;
    const bridge_id = await enrolBridge(tenant, bridge.url, bridge);
    const router_ids: string[] = [];
    for (const [at, { host, port, username, password }] of routers.entries())
      router_ids.push((await tenant.post('/routers', { name: `r${at}`, host, port, username, password })).id);
    return new World(tenant, await tenant.database(), bridge_id, router_ids);
  }

  /** One schedule from an office with three lines to the end, where all must be as it must be. */
  async run(steps: readonly Step[]): Promise<void> {
    await this.#begin();
    this.wire.begin();
    try {
      for (const step of steps) await this.#take(step);
      await this.#finish();
      await checkAll(this);
    } finally {
      this.wire.heal();
      await Promise.all(this.#under_way);
      await this.wire.settle();
      this.wire.end();
    }
  }

  async #begin(): Promise<void> {
    const { tenant, database } = this;
    this.wire.heal();
    this.wire.forget();
    tenant.mail.sent.splice(0);
    await Promise.all(this.routers.map(router => router.empty()));
    const tables = [
      'provisioning',
      'customer_plan_changes',
      'customers',
      'service_plan_settings',
      'service_plans',
      'alerts',
    ];
    await database.batch([
      ...tables.map(table => database.prepare(`DELETE FROM ${table}`)),
      database.prepare(`UPDATE routers SET is_active = 1, circuit = NULL`),
      database.prepare(`UPDATE settings SET suspension_policy = 'disable', isolir_download_kbps = 64, isolir_upload_kbps = 64`),
    ]); // prettier-ignore
    const last = await database.prepare('SELECT max(seq) AS seq FROM events').first<{ seq: number }>();
    this.first_seq = last!.seq;
    this.#switched_off.clear();
    this.#under_way = [];
    this.#failures = [];
    this.office = new Office(`s${++this.counts.schedules}`, this.router_ids);
    this.hands = this.routers.map(router => new Hand(router, this.office));
    for (let at = 0; at < PLANS; at++) {
      const speeds = { download_kbps: 10_000 * (at + 1), upload_kbps: 2_000 };
      const { id, profile_name } = await tenant.addPlan({ profile_name: `${this.office.prefix}-plan${at}`, ...speeds });
      const is_queued = at === PLANS - 1;
      if (is_queued) await tenant.put(`/service-plans/${id}/advanced`, { shaping: 'simple_queue' });
      this.office.plans.push({
        id,
        profile_name,
        is_queued,
        down_kbps: speeds.download_kbps,
        up_kbps: speeds.upload_kbps,
      });
    }
    // somebody else's, where a customer may come to want the name
    for (const name of [0, 3])
      await this.hands[1]!.take({ do: 'add stranger', router: 1, menu: '/ppp/secret', name, text: null });
    for (const at of [0, 1, 2]) {
      await this.#act({ do: 'add', plan: at % 2, router: Number(at === 2), name: 0, password: 'rahasia', octet: at === 1 ? null : 5 + at, is_static: false }); // prettier-ignore
      await this.#act({ do: 'activate', who: at });
    }
    await this.#deliver(tenant.mail.sent.splice(0).map(message => message.body));
    for (const { router, name } of this.office.customers) await this.routers[router]!.dialIn(name);
  }

  async #take(step: Step): Promise<void> {
    const group = isByHand(step) ? 'hand' : isByFate(step) ? 'fate' : 'people';
    this.counts.steps[group]++;
    if (isByHand(step)) await this.#byHand(step);
    else if (isByFate(step)) await this.#byFate(step);
    else if (step.do === 'sync' || step.do === 'reconcile') await this.#askLive(step);
    else if (step.do === 'switch') await this.#switch(step.router, step.on);
    else await this.#act(step);
  }

  /** What the office may do is done, what it may not is refused; nothing else. */
  async #act(step: OfficeStep): Promise<void> {
    const wish = this.office.decide(step);
    if (wish) await this.#ask(wish);
  }

  async #ask({ method, path, body, is_allowed, note }: Wish): Promise<void> {
    const answer = await this.tenant.call(method, path, { body });
    const told = `${method} ${path} ${JSON.stringify(body)}: ${answer.text}`;
    if (!is_allowed) {
      this.counts.refused++;
      expect([400, 404, 409], told).toContain(answer.status);
      return;
    }
    expect([200, 201], told).toContain(answer.status);
    note(answer.data);
  }

  /** A router that is away may not answer, but nothing else may go wrong. */
  async #askLive(step: StepOf<'sync'> | StepOf<'reconcile'>): Promise<void> {
    const customer = step.do === 'sync' ? this.office.find(step.who) : undefined;
    if (step.do === 'sync' && (!customer || customer.is_deleted)) return;
    const path = customer
      ? `/customers/${customer.id}/provisioning/sync`
      : `/routers/${this.router_ids[(step as StepOf<'reconcile'>).router]}/reconcile`;
    const body = step.do === 'reconcile' ? { mode: step.mode } : undefined;
    await this.#start(async () => {
      const answer = await this.tenant.call('POST', path, { body });
      expect([200, 502, 503], `${path}: ${answer.text}`).toContain(answer.status);
    });
  }

  async #switch(router: number, on: boolean): Promise<void> {
    if (on) this.#switched_off.delete(router);
    else this.#switched_off.add(router);
    const wish = { method: 'PUT', path: `/routers/${this.router_ids[router]}`, body: { is_active: on } };
    await this.#ask({ ...wish, is_allowed: true, note: () => {} });
  }

  /** Never while the bridge is at work there: RouterOS knows no way to change an entry only if it still is as it was. */
  async #byHand(step: HandStep): Promise<void> {
    await this.wire.settle();
    await checkStrangers(this, step.router);
    await this.hands[step.router]!.take(step);
  }

  async #byFate(step: FateStep): Promise<void> {
    const { wire, tenant } = this;
    if (step.do === 'handle messages') {
      const messages = tenant.mail.sent.splice(0).map(message => message.body);
      if (step.how === 'backwards') messages.reverse();
      const copies = step.how === 'three times each, at once' ? 3 : 1;
      await this.#deliver(messages, copies);
    } else if (step.do === 'lose messages') tenant.mail.sent.splice(0);
    else if (step.do === 'time passes') await this.#makeDue();
    else if (step.do === 'sweep') await this.#sweep();
    else if (step.do === 'lose answers') wire.answers_to_lose = step.count;
    else if (step.do === 'delay requests') wire.requests_to_delay = step.count;
    else if (step.do === 'hold requests') wire.requests_to_hold = step.count;
    else if (step.do === 'held requests go on') wire.letGo();
    else if (step.do === 'delayed requests arrive') await wire.deliverLate(step.newest_first);
    else if (step.do === 'bridge reachable') wire.is_cut = !step.is;
    else if (step.do === 'bridge restarts') await this.#restartBridge(step.how);
    else if (step.do === 'bridge is killed at work') await this.#killAtWork(step);
    else if (step.do === 'repeat an old request') expect([null, 401]).toContain(await wire.repeat(step.nth));
    else await this.#atRouter(step);
  }

  async #atRouter(step: Extract<FateStep, { router: number }>): Promise<void> {
    const router = this.routers[step.router]!;
    if (step.do === 'router trouble') await router.trouble(step.trouble);
    else if (step.do === 'router drops connections') await router.dropConnections();
    else if (step.do === 'router reboots') await router.reboot();
    else {
      const secrets = await router.read('/ppp/secret');
      const name = secrets[step.nth % Math.max(1, secrets.length)]?.name;
      if (name === undefined) return;
      if (step.do === 'hang up') await router.hangUp(name);
      else if (await router.dialIn(name)) this.counts.sessions++;
    }
  }

  async #restartBridge(how: 'stop' | 'kill'): Promise<void> {
    const response = await fetch(`${env.TEST_SIMULATION.control_url}/restart?how=${how}`, { method: 'POST' });
    expect(response.status, await response.text()).toBe(200);
    for (const router of this.routers) await router.dropConnections();
  }

  /** With routers that are gone too, it is killed while it knows of a write and not of its answer. */
  async #killAtWork({ after_ms, routers_gone }: StepOf<'bridge is killed at work'>): Promise<void> {
    if (routers_gone) for (const router of this.routers) await router.trouble('is gone after a write');
    const work = this.#deliver(this.tenant.mail.sent.splice(0).map(message => message.body));
    // what it throws is thrown below
    work.catch(() => undefined);
    await new Promise(resolve => setTimeout(resolve, after_ms));
    await this.#restartBridge('kill');
    await work;
  }

  /** Goes on when it is done, or held up on the way to the bridge; then its end is waited for at the end. */
  async #start(work: () => Promise<void>): Promise<void> {
    const held = this.wire.whenHeld();
    const done = work().catch((error: unknown) => void this.#failures.push(error));
    this.#under_way.push(done);
    await Promise.race([done, held]);
    if (this.#failures.length > 0) throw this.#failures[0];
  }

  async #deliver(messages: readonly ProvisioningMessage[], copies = 1): Promise<void> {
    for (const message of messages) {
      const looks = Array.from({ length: copies }, () =>
        this.#start(() => handleProvisioning(makeTestAmbient({ env: this.tenant.env }), message)),
      );
      this.counts.messages += copies;
      await Promise.all(looks);
    }
  }

  /** As if the time of all next tries had come. */
  async #makeDue(): Promise<void> {
    const past = Date.now() - 1;
    const due = 'UPDATE provisioning SET next_attempt_at = ?1 WHERE next_attempt_at IS NOT NULL';
    const open = `UPDATE routers SET circuit = json_set(circuit, '$.open_until', ?1) WHERE circuit ->> 'open_until' IS NOT NULL`;
    await this.database.batch([
      this.database.prepare(due).bind(past),
      this.database.prepare(open).bind(new Date(past).toISOString()),
    ]);
  }

  async #sweep(): Promise<void> {
    await sweepTenant(await makeTestContext(this.tenant, { env: this.tenant.env }));
  }

  async #finish(): Promise<void> {
    const { wire } = this;
    wire.heal();
    for (const router of this.routers) await router.trouble('is well');
    await wire.deliverLate(false);
    await Promise.all(this.#under_way);
    if (this.#failures.length > 0) throw this.#failures[0];
    for (const router of this.#switched_off) await this.#switch(router, true);
    await this.#settle();
    await checkUntouched(this);
    // what was changed by hand is put right when an admin says so
    for (const id of this.router_ids) await this.askRouter('POST', `/routers/${id}/reconcile`, { mode: 'repair' });
    await this.#settle();
  }

  /** Messages, the time of the next tries and the sweep: nothing else brings a router to what it must hold. */
  async #settle(): Promise<void> {
    let open: unknown[] = [];
    for (let round = 0; round < MOST_ROUNDS; round++) {
      await this.#makeDue();
      await this.#sweep();
      await this.#deliver(this.tenant.mail.sent.splice(0).map(message => message.body));
      open = await this.query(
        `SELECT key, status, attempts, last_error FROM provisioning WHERE status IN ('pending', 'failed')`,
      );
      if (open.length === 0) return;
    }
    expect.fail(`all is well, and yet after ${MOST_ROUNDS} rounds there is work left: ${JSON.stringify(open)}`);
  }

  async askRouter(method: 'GET' | 'POST', path: string, body?: unknown): Promise<any> {
    let answer = await this.tenant.call(method, path, { body });
    for (let left = TRIES; left > 1 && [502, 503].includes(answer.status); left--)
      answer = await this.tenant.call(method, path, { body });
    expect(answer.status, `${path}: ${answer.text}`).toBe(200);
    return answer.data;
  }

  async query<T = Record<string, unknown>>(sql: string, ...values: unknown[]): Promise<T[]> {
    const { results } = await this.database
      .prepare(sql)
      .bind(...values)
      .all<T>();
    return results;
  }
}
