import { env } from 'cloudflare:test';
import fc from 'fast-check';
import { beforeEach, describe, expect, test, vi } from 'vitest';
import { fingerprintSecret, isSameSecret, seal, type Sealer, unseal } from '../../src/auth/sealing.ts';
import type { Context } from '../../src/context.ts';
import type { Env } from '../../src/env.ts';
import { runImportJob } from '../../src/jobs/import-secrets.ts';
import { reseal } from '../../src/jobs/reseal.ts';
import { HASH_PLACES, SEALED_PLACES } from '../../src/jobs/sealed-places.ts';
import { sweep, sweepTenant } from '../../src/jobs/sweep.ts';
import { SILENT_HUB } from '../support/hub.ts';
import { letIn } from '../support/interleave.ts';
import { envWith, HOUR_MS, type Keys, kidOf, makeSealingKey, MINUTE_MS, ownKey } from '../support/keys.ts';
import { makeTestAmbient, makeTestContext, recordQueue } from '../support/network-world.ts';
import { recordQueues } from '../support/queues.ts';
import { dumpDatabase } from '../support/direct.ts';
import { PASSWORD, TestBridge, TestTenant } from '../support/world.ts';

/** What older keys sealed is sealed anew, and nothing of it is lost. */

// what can't be opened is told to the operator
beforeEach(() => void vi.spyOn(console, 'error').mockImplementation(() => {}));

const sealingKidOf = async (tenant: TestTenant): Promise<string | null> =>
  (await env.DIRECTORY_DB.prepare('SELECT sealing_kid FROM tenants WHERE id = ?').bind(tenant.id).first<string>('sealing_kid'))!; // prettier-ignore

/** Keys of which the last is in use for hours; the first is the tests' own, with which the API seals. */
const makeKeys = () => {
  const list = [ownKey('sealing'), makeSealingKey(Date.now() - 4 * HOUR_MS), makeSealingKey(Date.now() - 2 * HOUR_MS)];
  return {
    list,
    all: envWith('sealing', ...list),
    newest: list.at(-1)!,
    only_newest: envWith('sealing', list.at(-1)!),
  };
};

type Kind = 'customer' | 'router' | 'device' | 'bridge' | 'item';
const KINDS: Kind[] = ['customer', 'router', 'device', 'bridge', 'item'];

interface Row {
  id: string;
  kind: Kind;
  text: string;
  /** A hash of the same secret, of another one, or none. */
  hash: 'same' | 'other' | 'none';
  is_lost: boolean;
}

interface Stored {
  sealed: string;
  hash: string | null;
  updated_at: number;
}

const COLUMN: Record<Kind, string> = {
  customer: 'pppoe_password',
  router: 'password',
  device: 'password',
  bridge: 'signing_secret',
  item: 'pppoe_password',
};

/** A tenant whose rows stand in the database as seals of given keys left them. */
class Vault {
  readonly tenant: TestTenant;
  readonly d1: D1Database;
  readonly #plan_id: string;
  #line = 0;

  constructor(tenant: TestTenant, d1: D1Database, plan_id: string) {
    [this.tenant, this.d1, this.#plan_id] = [tenant, d1, plan_id];
  }

  static async make(): Promise<Vault> {
    const tenant = await TestTenant.signUp();
    return new Vault(tenant, await tenant.database(), (await tenant.addPlan()).id);
  }

  /** Empties it, but for a router and an import that is over. */
  async clear(rows: readonly (readonly [Row, Sealer])[] = []): Promise<void> {
    const tables = ['provisioning', 'import_items', 'imports', 'devices', 'customers', 'routers', 'bridges', 'jobs'];
    const password = await seal({ env, now: Date.now() }, { row_id: 'r', column: 'password' }, 'x');
    const statements = [
      ...tables.map(table => this.d1.prepare(`DELETE FROM ${table}`)),
      this.d1.prepare("INSERT INTO jobs (id, kind, status, finished_at, created_at, updated_at) VALUES ('j', 'import', 'completed', 1, 1, 1)"),
      this.d1.prepare("INSERT INTO imports (id, job_id, kind, source, created_at, updated_at) VALUES ('i', 'j', 'secrets', 'file', 1, 1)"),
      this.d1.prepare("INSERT INTO routers (id, name, host, port, username, password, created_at, updated_at) VALUES ('r', 'r', 'h', 1, 'x', ?, 1, 1)").bind(password),
    ]; // prettier-ignore
    const added = await Promise.all(rows.map(([row, sealer]) => this.#insert(row, sealer)));
    await this.d1.batch([...statements, ...added.flat()]);
    await env.DIRECTORY_DB.prepare('UPDATE tenants SET sealing_kid = NULL').run();
  }

  async add(row: Row, sealer: Sealer): Promise<void> {
    await this.d1.batch(await this.#insert(row, sealer));
  }

  async #insert({ id, kind, text, hash }: Row, sealer: Sealer): Promise<D1PreparedStatement[]> {
    const line = ++this.#line;
    const place = { row_id: id, column: COLUMN[kind] };
    const sealed = await seal(sealer, place, text);
    const secret_hash = hash === 'none' ? null : await fingerprintSecret(sealer, place, hash === 'same' ? text : `${text}!`); // prettier-ignore
    const say = (sql: string, ...values: unknown[]) => this.d1.prepare(sql).bind(...values);
    const data = JSON.stringify({ full_name: 'x', sealed_password: sealed, secret_hash });
    const line_of = say("INSERT INTO provisioning (id, customer_id, router_id, kind, key, secret_hash, status, created_at, updated_at) VALUES (?1, ?1, 'r', 'ppp_secret', ?1, ?2, 'in_sync', 7, 7)", id, secret_hash); // prettier-ignore
    return {
      router: [say("INSERT INTO routers (id, name, host, port, username, password, created_at, updated_at) VALUES (?1, ?1, 'h', 1, 'x', ?2, 7, 7)", id, sealed)],
      bridge: [say('INSERT INTO bridges (id, name, signing_secret, created_at, updated_at) VALUES (?1, ?1, ?2, 7, 7)', id, sealed)],
      device: [say("INSERT INTO devices (id, device_name, device_type, status, password, created_at, updated_at) VALUES (?1, ?1, 'olt', 'unknown', ?2, 7, 7)", id, sealed)],
      item: [say("INSERT INTO import_items (import_id, line, name, outcome, data, customer_id) VALUES ('i', ?1, ?2, 'create', ?3, ?2)", line, id, data)],
      customer: [
        say("INSERT INTO customers (id, customer_code, full_name, service_plan_id, pppoe_password, status_since, created_at, updated_at) VALUES (?1, ?1, 'x', ?2, ?3, '2026-01-01', 7, 7)", id, this.#plan_id, sealed),
        ...(secret_hash === null ? [] : [line_of]),
      ],
    }[kind]; // prettier-ignore
  }

  async read(row: Row): Promise<Stored> {
    return (await this.readAll([row]))[0]!;
  }

  async readAll(rows: readonly Row[]): Promise<Stored[]> {
    const queries = {
      customer: 'SELECT pppoe_password AS sealed, updated_at, (SELECT secret_hash FROM provisioning WHERE customer_id = c.id) AS hash FROM customers AS c WHERE id = ?',
      router: 'SELECT password AS sealed, NULL AS hash, updated_at FROM routers WHERE id = ?',
      device: 'SELECT password AS sealed, NULL AS hash, updated_at FROM devices WHERE id = ?',
      bridge: 'SELECT signing_secret AS sealed, NULL AS hash, updated_at FROM bridges WHERE id = ?',
      item: "SELECT data ->> 'sealed_password' AS sealed, data ->> 'secret_hash' AS hash, 7 AS updated_at FROM import_items WHERE customer_id = ?",
    }; // prettier-ignore
    const results = await this.d1.batch<Stored>(rows.map(({ id, kind }) => this.d1.prepare(queries[kind]).bind(id)));
    return results.map(({ results: [found] }) => found!);
  }

  /** Somebody gives a customer another password. */
  async setPassword(row: Row, text: string, sealer: Sealer): Promise<void> {
    const sealed = await seal(sealer, { row_id: row.id, column: COLUMN[row.kind] }, text);
    await this.d1.prepare('UPDATE customers SET pppoe_password = ?, updated_at = 8 WHERE id = ?').bind(sealed, row.id).run(); // prettier-ignore
    row.text = text;
  }

  context(environment: Env, now = Date.now()): Promise<Context> {
    // whoever listens is another test's
    return makeTestContext(this.tenant, { env: { ...environment, TENANT_HUB: SILENT_HUB }, now });
  }

  /** The Worker dies at the round trip of that number. */
  async mortalContext(environment: Env, at: number): Promise<Context> {
    const ctx = await this.context(environment);
    const { session } = ctx.db;
    let trips = 0;
    const batch: D1DatabaseSession['batch'] = statements => {
      if (trips++ === at) throw new Error('the worker died');
      return session.batch(statements);
    };
    const mortal = { prepare: (query: string) => session.prepare(query), batch, getBookmark: () => null };
    return { ...ctx, db: { ...ctx.db, session: mortal as D1DatabaseSession } };
  }
}

describe('re-sealing', () => {
  const row = fc.record({
    kind: fc.constantFrom(...KINDS, 'customer' as const, 'customer' as const),
    text: fc.string({ unit: 'grapheme' }).filter(text => text.isWellFormed() && !text.includes('\ufeff')),
    hash: fc.constantFrom('same' as const, 'other' as const, 'none' as const),
    of_key: fc.nat({ max: 2 }),
    is_lost: fc.integer({ min: 0, max: 19 }).map(number => number === 0),
  });

  test('P23 of any rows and keys, stopped anywhere and beside any change, all opens with the newest key alone', async () => {
    const vault = await Vault.make();
    const seen = { changed: 0, died: 0, lost: 0 };
    const disturbance = fc.record({
      die_at: fc.option(fc.nat({ max: 14 }), { nil: null }),
      // just before its own row is written, too
      change_at: fc.oneof(fc.nat({ max: 14 }), fc.constant('UPDATE "customers" SET')),
      who: fc.nat(),
      by_key: fc.nat({ max: 2 }),
      most_values: fc.integer({ min: 1, max: 4 }),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(row, { minLength: 1, maxLength: 6 }), disturbance, async (drawn, how) => {
        const { list, all, newest, only_newest } = makeKeys();
        const gone = makeSealingKey(Date.now() - 3 * HOUR_MS);
        const with_key = (keys: Keys) => ({ env: envWith('sealing', keys), now: Date.now() });
        const rows = drawn.map((each): Row => ({ ...each, id: crypto.randomUUID() }));
        await vault.clear(rows.map((each, at) => [each, with_key(each.is_lost ? gone : list[drawn[at]!.of_key]!)]));
        const before = await vault.readAll(rows);

        const customers = rows.filter(({ kind, is_lost }) => kind === 'customer' && !is_lost);
        const changed = customers[how.who % Math.max(1, customers.length)];
        const change = () => vault.setPassword(changed!, 'baru-sekali', with_key(list[how.by_key]!));
        const between = changed ? letIn(vault.d1, how.change_at, change) : null;
        if (how.die_at !== null)
          await reseal(await vault.mortalContext(all, how.die_at), how.most_values).catch((error: Error) => {
            expect(error.message).toBe('the worker died');
            seen.died++;
          });
        await reseal(await vault.context(all), how.most_values);
        between?.stop();
        if (between?.happened) seen.changed++;
        // what was written with an old key at the very end is the next message's; beside what can't be opened, of tomorrow
        for (const later_ms of [0, 25 * HOUR_MS])
          await reseal(await vault.context(all, Date.now() + later_ms), how.most_values);

        const lost = rows.filter(({ is_lost }) => is_lost);
        for (const [at, { sealed, hash, updated_at }] of (await vault.readAll(rows)).entries()) {
          const each = rows[at]!;
          if (each.is_lost) {
            expect(sealed).toBe(before[at]!.sealed);
            continue;
          }
          const place = { row_id: each.id, column: COLUMN[each.kind] };
          expect(await unseal(only_newest, place, sealed)).toBe(each.text);
          const was_changed = each === changed && between!.happened;
          expect(updated_at).toBe(was_changed ? 8 : 7);
          if (hash === null || was_changed) continue;
          expect(await isSameSecret(only_newest, place, each.text, hash)).toBe(each.hash === 'same');
          if (each.hash === 'other') expect(await isSameSecret(all, place, `${each.text}!`, hash)).toBe(true);
        }
        expect(await sealingKidOf(vault.tenant)).toBe(lost.length > 0 ? null : kidOf('sealing', newest));
        const jobs = await vault.tenant.get('/jobs', { kind: 'reseal' });
        expect(jobs.every((job: { finished_at: string | null }) => job.finished_at !== null)).toBe(true);
        if (lost.length > 0) {
          seen.lost++;
          expect(jobs[0]).toMatchObject({ status: 'failed', failed: lost.length });
          for (const { id } of lost) expect(jobs[0].errors.join('\n')).toContain(id);
        }
      }),
      { numRuns: 100, endOnFailure: true },
    );
    expect(Math.min(seen.changed, seen.died, seen.lost)).toBeGreaterThan(0);
  });

  test('what can’t be opened is told once a day, kept, and sealed anew once its key is back', async () => {
    const vault = await Vault.make();
    await vault.clear();
    const { list, all, newest } = makeKeys();
    const gone = makeSealingKey(Date.now() - 3 * HOUR_MS);
    const logged = vi.spyOn(console, 'error').mockImplementation(() => {});
    const lost: Row = { id: crypto.randomUUID(), kind: 'device', text: 'hilang', hash: 'none', is_lost: true };
    await vault.add(lost, { env: envWith('sealing', gone), now: Date.now() });
    for (let round = 0; round < 3; round++) await reseal(await vault.context(all));
    const told = await vault.tenant.get('/jobs', { kind: 'reseal' });
    expect(told).toHaveLength(1);
    // the router of every vault is sealed with an older key
    expect(told[0]).toMatchObject({ status: 'failed', total: 2, succeeded: 1, failed: 1 });
    expect(told[0].errors).toEqual([
      `devices ${lost.id}: password can’t be opened with the sealing keys of this deployment: set it anew.`,
    ]);
    expect(await sealingKidOf(vault.tenant)).toBeNull();
    expect(logged).toHaveBeenCalledWith(expect.stringContaining('1 sealed values can’t be opened'));
    const later = Date.now() + 25 * HOUR_MS;
    await reseal(await vault.context(all, later));
    expect(await vault.tenant.get('/jobs', { kind: 'reseal', status: 'failed' })).toHaveLength(2);
    await reseal(await vault.context(envWith('sealing', ...list, gone), later + 25 * HOUR_MS));
    expect(await unseal(envWith('sealing', newest), { row_id: lost.id, column: 'password' }, (await vault.read(lost)).sealed)).toBe('hilang'); // prettier-ignore
    expect(await sealingKidOf(vault.tenant)).toBe(kidOf('sealing', newest));
    const types = (await vault.tenant.get('/audit-logs', { per_page: 100 })).map(
      (event: { type: string }) => event.type,
    );
    expect(types.filter((type: string) => type.startsWith('secrets.'))).toEqual([
      'secrets.resealed',
      'secrets.not_opened',
      'secrets.not_opened',
    ]);
  });

  test.each([
    ['something', 0],
    ['nothing', 2],
  ])(
    'an import that is under way holds up the end where %s is old, and what it brings is sealed anew',
    async (_, by) => {
      const vault = await Vault.make();
      await vault.clear();
      const { all, newest, only_newest, list } = makeKeys();
      const password = await seal({ env: envWith('sealing', list[by]!), now: Date.now() }, { row_id: 'r', column: 'password' }, 'x'); // prettier-ignore
      await vault.d1.prepare('UPDATE routers SET password = ?').bind(password).run();
      const customer: Row = { id: crypto.randomUUID(), kind: 'customer', text: 'lama', hash: 'same', is_lost: false };
      await vault.d1.prepare("UPDATE jobs SET status = 'running', finished_at = NULL WHERE id = 'j'").run();
      await reseal(await vault.context(all));
      expect(await sealingKidOf(vault.tenant)).toBeNull();
      // read by the import before its item was sealed anew
      await vault.add(customer, { env: envWith('sealing', list[0]!), now: Date.now() });
      await vault.d1.prepare("UPDATE jobs SET status = 'completed', finished_at = 9 WHERE id = 'j'").run();
      await reseal(await vault.context(all));
      const { sealed, hash } = await vault.read(customer);
      const place = { row_id: customer.id, column: 'pppoe_password' };
      expect(await unseal(only_newest, place, sealed)).toBe('lama');
      expect(await isSameSecret(only_newest, place, 'lama', hash)).toBe(true);
      expect(await sealingKidOf(vault.tenant)).toBe(kidOf('sealing', newest));
    },
  );

  test('two messages at once do it once', async () => {
    const vault = await Vault.make();
    await vault.clear();
    const { all, newest, list } = makeKeys();
    const rows = KINDS.flatMap(kind => [1, 2].map((): Row => ({ id: crypto.randomUUID(), kind, text: kind, hash: 'same', is_lost: false }))); // prettier-ignore
    for (const each of rows) await vault.add(each, { env: envWith('sealing', list[1]!), now: Date.now() });
    await Promise.all([1, 2, 3].map(async () => reseal(await vault.context(all), 2)));
    const jobs = await vault.tenant.get('/jobs', { kind: 'reseal' });
    expect(jobs).toHaveLength(1);
    expect(jobs[0]).toMatchObject({ status: 'completed', progress: 100, total: 11, succeeded: 11, failed: 0 });
    expect(await sealingKidOf(vault.tenant)).toBe(kidOf('sealing', newest));
  });

  test('a key that came in the middle is the one that all is sealed with in the end', async () => {
    const vault = await Vault.make();
    await vault.clear();
    const { list, all } = makeKeys();
    const customer: Row = { id: crypto.randomUUID(), kind: 'customer', text: 'x', hash: 'same', is_lost: false };
    await vault.add(customer, { env: envWith('sealing', list[0]!), now: Date.now() });
    await expect(reseal(await vault.mortalContext(all, 5), 1)).rejects.toThrow('the worker died');
    const latest = makeSealingKey(Date.now() - HOUR_MS);
    await reseal(await vault.context(envWith('sealing', ...list, latest)), 1);
    // a message from before that wakes up late takes nothing back
    await reseal(await vault.context(envWith('sealing', ...list, latest), Date.now() - HOUR_MS), 1);
    expect(await sealingKidOf(vault.tenant)).toBe(kidOf('sealing', latest));
    const { sealed } = await vault.read(customer);
    expect(sealed.split('.')[0]).toBe(kidOf('sealing', latest));
    expect(await vault.tenant.get('/jobs', { kind: 'reseal' })).toHaveLength(1);
  });
});

describe('the sweep', () => {
  const listAsked = async (keys: Keys[], now: number) => {
    const queues = recordQueues();
    await sweep(makeTestAmbient({ env: { ...envWith('sealing', ...keys), JOBS_QUEUE: queues.env.JOBS_QUEUE }, now }));
    return queues.jobs.map(({ body }) => body).filter(({ kind }) => kind === 'reseal');
  };

  test('asks for nobody whose secrets are sealed with the present key, and for everybody once it is another', async () => {
    const [one, other] = [await TestTenant.signUp(), await TestTenant.signUp()];
    const asleep = await TestTenant.signUp();
    await env.DIRECTORY_DB.prepare("UPDATE tenants SET status = 'suspended' WHERE id = ?").bind(asleep.id).run();
    const made = Date.now();
    const keys = [ownKey('sealing'), makeSealingKey(made)];
    expect(await listAsked([keys[0]!], made)).toEqual([]);
    // not before nothing more is sealed with the older one
    expect(await listAsked(keys, made + 29 * MINUTE_MS)).toEqual([]);
    const asked = await listAsked(keys, made + 31 * MINUTE_MS);
    expect(asked.map(({ tenant_id }) => tenant_id).sort()).toEqual([one.id, other.id].sort());
    const ctx = await makeTestContext(one, { env: envWith('sealing', ...keys), now: made + 31 * MINUTE_MS });
    await reseal(ctx);
    expect(await listAsked(keys, made + 32 * MINUTE_MS)).toEqual([{ tenant_id: other.id, kind: 'reseal' }]);
    // nothing was sealed there: no row tells of it
    expect(await one.get('/jobs')).toEqual([]);
  });

  test('leaves a re-sealing that stands still to the directory', async () => {
    const tenant = await TestTenant.signUp();
    const d1 = await tenant.database();
    await d1.prepare("INSERT INTO jobs (id, kind, status, created_at, updated_at) VALUES ('j', 'reseal', 'running', 1, 1)").run(); // prettier-ignore
    const queues = recordQueues();
    await sweepTenant(await makeTestContext(tenant, { env: queues.env }));
    expect(queues.jobs).toEqual([]);
  });
});

describe('the list of sealed places', () => {
  const covered = [...SEALED_PLACES, ...HASH_PLACES].map(({ table, column }) => `${table}.${column}`);

  test('P23 has every column of the schema whose name speaks of a secret', async () => {
    const tenant = await TestTenant.signUp();
    const { results } = await (await tenant.database())
      .prepare(`SELECT t.name || '.' || c.name AS name FROM sqlite_master AS t JOIN pragma_table_info(t.name) AS c
        WHERE t.type = 'table' AND t.name NOT LIKE '~_cf~_%' ESCAPE '~'`)
      .all<{ name: string }>(); // prettier-ignore
    const named = results.map(({ name }) => name).filter(name => /passw|secret|communit|credential|totp|otp|api_key|private|sealed/.test(name.split('.')[1]!)); // prettier-ignore
    // a slow hash of its own, which no key made
    const OF_NO_KEY = ['users.password_hash'];
    const NO_SECRET = ['users.totp_enabled_at', 'users.totp_last_step'];
    const listed = covered.filter(name => !name.endsWith('.data'));
    expect(named.sort()).toEqual([...listed, ...OF_NO_KEY, ...NO_SECRET].sort());
  });

  test('P23 has every place where something sealed is, once every kind of secret was stored', async () => {
    const tenant = await TestTenant.signUp();
    const plan = await tenant.addPlan();
    await tenant.addCustomer(plan.id, { pppoe_password: 'satu' });
    const bridge = await TestBridge.enrol(tenant);
    // nobody is there: the rotation stays begun
    await tenant.call('PATCH', `/bridges/${bridge.id}`, { body: { url: 'http://127.0.0.1:1' } });
    expect((await tenant.call('POST', `/bridges/${bridge.id}/rotate`)).error.code).toBe('BRIDGE_OFFLINE');
    await tenant.post('/auth/totp', { current_password: PASSWORD });
    const router = await tenant.post('/routers', { name: 'r', host: 'h.example', username: 'x', password: 'dua' });
    await tenant.post('/devices', { device_name: 'd', device_type: 'olt', username: 'x', password: 'tiga' });
    const real = env.JOBS_QUEUE;
    env.JOBS_QUEUE = recordQueue<never>().queue as never;
    try {
      const upload = async (name: string) => {
        const body = `/ppp secret\nadd name=${name} password=empat profile=default\n`;
        const query = { router_id: router.id };
        const job = await tenant.call('POST', '/imports/file', { body, query, headers: { 'content-type': 'text/plain' } }); // prettier-ignore
        expect(job.status, job.text).toBe(202);
        return job.data.id as string;
      };
      await runImportJob(await makeTestContext(tenant), await upload('a'));
      // this one waits
      await upload('b');
    } finally {
      env.JOBS_QUEUE = real;
    }
    const kid = kidOf('sealing', ownKey('sealing'));
    const found = new Set<string>();
    for (const [table, rows] of Object.entries(await dumpDatabase(await tenant.database())))
      for (const each of rows as Record<string, unknown>[])
        for (const [column, value] of Object.entries(each)) if (String(value).includes(`${kid}.`)) found.add(`${table}.${column}`); // prettier-ignore
    expect([...found].sort()).toEqual([...new Set(covered)].sort());
  });
});
