import { env } from 'cloudflare:test';
import { getTableColumns, is } from 'drizzle-orm';
import { getTableConfig, SQLiteTable, type SQLiteColumn } from 'drizzle-orm/sqlite-core';
import fc from 'fast-check';
import { describe, expect, test, vi } from 'vitest';
import * as directory from '../../src/tenancy/directory.ts';
import { bringDown, bringUp, type Migration, parseMigration } from '../../src/tenancy/migrate.ts';
import { DIRECTORY_MIGRATIONS, TENANT_MIGRATIONS } from '../../src/tenancy/migrations.ts';
import { TENANT_SCHEMA_VERSION } from '../../src/tenancy/tenant-schema.ts';
import * as event from '../../src/events/event.ts';
import { dumpDatabase } from '../support/direct.ts';
import { TestTenant } from '../support/world.ts';

declare global {
  interface ImportMeta {
    /** Vite's: the modules whose paths fit. */
    glob(pattern: string, options: { eager: true }): Record<string, unknown>;
  }
}

const database = (binding: string) => (env as unknown as Record<string, D1Database>)[binding]!;

/** What sqlite_master says, without what SQLite, D1 and the migrations keep for themselves. */
async function readSchema(d1: D1Database) {
  const { results } = await d1
    .prepare(
      `SELECT type, name, tbl_name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite~_%' ESCAPE '~'
      AND name NOT LIKE '~_cf~_%' ESCAPE '~' AND name <> 'd1_migrations' ORDER BY type, name`,
    )
    .all<{ type: string; name: string; tbl_name: string; sql: string | null }>();
  return results;
}

async function listApplied(d1: D1Database) {
  const { results } = await d1
    .prepare('SELECT id, name FROM d1_migrations ORDER BY id')
    .all<{ id: number; name: string }>();
  return results;
}

const KINDS: [string, readonly Migration[], string][] = [
  ['directory', DIRECTORY_MIGRATIONS, 'TENANT_DB_0005'],
  ['tenant', TENANT_MIGRATIONS, 'TENANT_DB_0006'],
];

describe.each(KINDS)('P64 migrations of the %s', (_, migrations, binding) => {
  test('P64 up, then down, gives the schema before, step by step; up again gives the same as up', async () => {
    const d1 = database(binding);
    const schemas = [await readSchema(d1)];
    for (let version = 1; version <= migrations.length; version++) {
      await bringUp(d1, migrations.slice(0, version));
      schemas.push(await readSchema(d1));
      // one step down and up again, at each height
      await bringDown(d1, migrations, version - 1);
      expect(await readSchema(d1)).toEqual(schemas[version - 1]);
      await bringUp(d1, migrations.slice(0, version));
      expect(await readSchema(d1)).toEqual(schemas[version]);
    }
    for (let version = migrations.length; version >= 0; version--) {
      expect(await bringDown(d1, migrations, version)).toBe(version);
      expect(await readSchema(d1)).toEqual(schemas[version]);
      expect(await listApplied(d1)).toHaveLength(version);
    }
    expect(schemas[0]).toEqual([]);
    expect(await bringUp(d1, migrations)).toBe(migrations.length);
    expect(await readSchema(d1)).toEqual(schemas.at(-1));
  });

  test('P64 any walk up and down ends with the schema of its last height', async () => {
    const d1 = database(binding);
    const schemas = [await readSchema(d1)];
    for (let version = 1; version <= migrations.length; version++) {
      await bringUp(d1, migrations.slice(0, version));
      schemas.push(await readSchema(d1));
    }
    let height = migrations.length;
    await fc.assert(
      fc.asyncProperty(fc.nat({ max: migrations.length }), async to => {
        if (to < height) await bringDown(d1, migrations, to);
        else await bringUp(d1, migrations.slice(0, to));
        height = to;
        expect(await readSchema(d1)).toEqual(schemas[to]);
        expect((await listApplied(d1)).map(row => row.name).sort()).toEqual(
          migrations.slice(0, to).map(migration => migration.name),
        );
      }),
      { numRuns: 50 },
    );
  });

  test('bringUp ten times at once applies each migration once', async () => {
    const d1 = database(binding);
    const versions = await Promise.all(Array.from({ length: 10 }, () => bringUp(d1, migrations)));
    expect(versions).toEqual(Array(10).fill(migrations.length));
    const applied = await listApplied(d1);
    expect(applied.map(row => row.name)).toEqual(migrations.map(migration => migration.name));
    const alone = database('TENANT_DB_0001');
    await bringUp(alone, migrations);
    expect(await readSchema(d1)).toEqual(await readSchema(alone));
    // what a migration itself writes is there once as well
    const rows = ({ d1_migrations: _, ...tables }: Record<string, unknown>) => tables;
    expect(rows(await dumpDatabase(d1))).toEqual(rows(await dumpDatabase(alone)));
  });

  test('an older and a newer program that bring a new database up at once end at the newer one’s height', async () => {
    for (const height of [1, migrations.length - 1]) {
      const d1 = database(binding);
      await bringDown(d1, migrations, 0);
      const heights = [height, migrations.length, height, migrations.length];
      expect(await Promise.all(heights.map(each => bringUp(d1, migrations.slice(0, each))))).toEqual(heights);
      expect((await listApplied(d1)).map(row => row.name)).toEqual(migrations.map(migration => migration.name));
    }
  });

  test('a new database takes one round trip after the look at it, one with data one for each migration', async () => {
    const d1 = database(binding);
    const batches = vi.spyOn(d1, 'batch');
    await bringUp(d1, migrations);
    expect(batches).toHaveBeenCalledTimes(2);
    await bringDown(d1, migrations, 1);
    batches.mockClear();
    await bringUp(d1, migrations);
    expect(batches).toHaveBeenCalledTimes(migrations.length);
    batches.mockRestore();
  });

  test('a migration that fails leaves nothing of itself, and says so', async () => {
    const d1 = database(binding);
    await bringUp(d1, migrations);
    const [schema, applied] = [await readSchema(d1), await listApplied(d1)];
    const broken = parseMigration(
      '9999_broken.sql',
      '-- up\n\nCREATE TABLE half (a)\n\nNONSENSE\n\n-- down\n\nDROP TABLE half\n',
    );
    await expect(bringUp(d1, [...migrations, broken])).rejects.toThrow(/NONSENSE/);
    expect([await readSchema(d1), await listApplied(d1)]).toEqual([schema, applied]);
  });
});

test('files without an up and a down part are refused', () => {
  expect(() => parseMigration('x.sql', '-- up\nCREATE TABLE a (b)')).toThrow(/x\.sql/);
  expect(parseMigration('x.sql', '-- says what\n-- up\n\nA;\n\n\nB\nC;\n\n-- down\n\nD;\n')).toEqual({
    name: 'x.sql',
    up: ['A;', 'B\nC;'],
    down: ['D;'],
  });
});

test('migrations are numbered without a gap', () => {
  for (const [, migrations] of KINDS)
    expect(migrations.map(({ name }) => name.slice(0, 5))).toEqual(
      migrations.map((_, index) => `${String(index + 1).padStart(4, '0')}_`),
    );
});

/** A tenant in whose tables there is something. */
async function makeLivedIn() {
  const tenant = await TestTenant.signUp();
  const router = await tenant.post('/routers', {
    name: 'Pusat',
    host: '10.0.0.1',
    username: 'api',
    password: 'rahasia',
  });
  const plan = await tenant.addPlan();
  await tenant.put(`/service-plans/${plan.id}/advanced`, { priority: 3 });
  const zone = await tenant.post('/zones', { name: 'Utara' });
  const customer = await tenant.addCustomer(plan.id, { zone_id: zone.id, custom_fields: { rumah: 'biru' } });
  await tenant.post(`/customers/${customer.id}/activate`);
  const other = await tenant.addPlan();
  await tenant.post(`/customers/${customer.id}/change-plan`, {
    service_plan_id: other.id,
    effective_date: '2099-01-01',
  });
  await tenant.call('POST', '/imports/file', {
    headers: { 'content-type': 'text/plain' },
    query: { dry_run: true },
    body: '/ppp secret\nadd name=budi password=rahasia profile=default service=pppoe\n',
  });
  return { tenant, router, plan, zone, customer };
}

test('P64 down and up again with data in every table gives the same schema, and keeps what is below', async () => {
  const { tenant } = await makeLivedIn();
  const d1 = await tenant.database();
  const [schema, before] = [await readSchema(d1), await dumpDatabase(d1)];
  for (let version = TENANT_SCHEMA_VERSION - 1; version >= 1; version--) {
    await bringDown(d1, TENANT_MIGRATIONS, version);
    expect(
      await d1
        .prepare('PRAGMA foreign_key_check')
        .all()
        .then(({ results }) => results),
    ).toEqual([]);
  }
  await bringUp(d1, TENANT_MIGRATIONS);
  expect(await readSchema(d1)).toEqual(schema);
  const after = await dumpDatabase(d1);
  for (const table of ['users', 'refresh_tokens', 'settings', 'events', 'tenant_state', 'jobs'])
    expect(after[table], table).toEqual(before[table]);
  expect(after.customers).toEqual([]);
  await tenant.addCustomer((await tenant.addPlan()).id);
  expect(await tenant.get('/customers/stats')).toMatchObject({ total: 1 });
  await bringDown(d1, TENANT_MIGRATIONS, 0);
  expect(await readSchema(d1)).toEqual([]);
});

describe('a tenant that is behind', () => {
  test('is brought up once when ten requests come at the same moment, and all ten succeed', async () => {
    const { tenant } = await makeLivedIn();
    const d1 = await tenant.database();
    const schema = await readSchema(d1);
    await bringDown(d1, TENANT_MIGRATIONS, TENANT_SCHEMA_VERSION - 1);
    const behind = TENANT_SCHEMA_VERSION - 1;
    await env.DIRECTORY_DB.batch([
      env.DIRECTORY_DB.prepare('UPDATE tenants SET schema_version = ? WHERE id = ?').bind(behind, tenant.id),
      env.DIRECTORY_DB.prepare('UPDATE shards SET schema_version = ? WHERE tenant_id = ?').bind(behind, tenant.id),
    ]);
    directory.forgetTenants();
    const answers = await Promise.all(
      Array.from({ length: 10 }, (_, i) =>
        i % 2 === 0 ? tenant.call('GET', '/zones') : tenant.call('POST', '/zones', { body: { name: `Zona ${i}` } }),
      ),
    );
    expect(answers.map(answer => answer.status)).toEqual(answers.map((_, i) => (i % 2 === 0 ? 200 : 201)));
    expect(await readSchema(d1)).toEqual(schema);
    expect((await listApplied(d1)).map(row => row.name).sort()).toEqual(TENANT_MIGRATIONS.map(({ name }) => name));
    const row = await env.DIRECTORY_DB.prepare('SELECT schema_version FROM tenants WHERE id = ?')
      .bind(tenant.id)
      .first();
    const shard = await env.DIRECTORY_DB.prepare('SELECT schema_version FROM shards WHERE tenant_id = ?')
      .bind(tenant.id)
      .first();
    expect([row, shard]).toEqual(Array(2).fill({ schema_version: TENANT_SCHEMA_VERSION }));
  });

  test('asks the database for nothing more once it is up', async () => {
    const tenant = await TestTenant.signUp();
    await env.DIRECTORY_DB.prepare('UPDATE tenants SET schema_version = 0').run();
    directory.forgetTenants();
    const batches = vi.spyOn(await tenant.database(), 'batch');
    await tenant.get('/zones');
    const upgrading = batches.mock.calls.length;
    await tenant.get('/zones');
    expect(upgrading).toBeGreaterThan(0);
    expect(batches.mock.calls.length).toBe(upgrading);
    batches.mockRestore();
  });
});

type Tables = Map<string, { table: SQLiteTable; where: string }>;

/** Every drizzle table of the sources; a new one is found by itself. */
function collect(modules: Record<string, unknown>): Tables {
  const found: Tables = new Map();
  for (const [where, exported] of Object.entries(modules))
    for (const value of Object.values(exported as object))
      if (is(value, SQLiteTable)) found.set(getTableConfig(value).name, { table: value, where });
  return found;
}

const TENANT_TABLES = collect({
  ...import.meta.glob('../../src/**/table.ts', { eager: true }),
  'event.ts': event,
});
const DIRECTORY_TABLES = collect({ 'directory.ts': directory });

/** What only SQL speaks of. */
const WITHOUT_DRIZZLE: Record<string, string[]> = {
  tenant: [
    'counters',
    'customer_custom_fields',
    'customer_suspensions',
    'idempotency_keys',
    'money_days',
    'payment_totals',
    'sequences',
    'tenant_state',
  ],
  directory: ['platform_events'],
};

interface ColumnInfo {
  name: string;
  type: string;
  notnull: number;
  pk: number;
}

const tableNames = async (d1: D1Database) =>
  (await readSchema(d1))
    .filter(({ type, name, sql }) => type === 'table' && !name.startsWith('customers_search') && sql)
    .map(({ name }) => name);

describe.each([
  ['tenant', TENANT_MIGRATIONS, TENANT_TABLES] as const,
  ['directory', DIRECTORY_MIGRATIONS, DIRECTORY_TABLES] as const,
])('drizzle and the database of the %s', (kind, migrations, tables) => {
  const migrated = async () => {
    const d1 = database('TENANT_DB_0001');
    await bringUp(d1, migrations);
    return d1;
  };

  test('speak of the same tables', async () => {
    const d1 = await migrated();
    expect([...tables.keys()].sort()).toEqual(
      (await tableNames(d1)).filter(name => !WITHOUT_DRIZZLE[kind]!.includes(name)),
    );
    expect(tables.size).toBeGreaterThanOrEqual(3);
  });

  test('have the same columns, of the same types, as nullable, with the same key', async () => {
    const d1 = await migrated();
    for (const [name, { table, where }] of tables) {
      const { results } = await d1.prepare(`PRAGMA table_xinfo("${name}")`).all<ColumnInfo>();
      const columns = Object.values(getTableColumns(table)) as SQLiteColumn[];
      const key = new Set(getTableConfig(table).primaryKeys.flatMap(each => each.columns.map(column => column.name)));
      const declared = columns.map(column => [column.name, column.getSQLType().toUpperCase(), column.notNull]);
      const real = results.map(column => [column.name, column.type, column.notnull === 1 || column.pk > 0]);
      expect(declared.sort(), `${where}: ${name}`).toEqual(real.sort());
      for (const [property, column] of Object.entries(getTableColumns(table)))
        expect(property).toBe((column as SQLiteColumn).name);
      const keys = columns.filter(column => column.primary || key.has(column.name)).map(column => column.name);
      const real_keys = results.filter(column => column.pk > 0).map(column => column.name);
      // some composite keys only SQL knows; what drizzle says must be so
      for (const each of keys) expect(real_keys, `${where}: ${name}`).toContain(each);
    }
  });

  test('have the same enums', async () => {
    const d1 = await migrated();
    const schema = new Map((await readSchema(d1)).map(({ name, sql }) => [name, sql ?? '']));
    let compared = 0;
    for (const [name, { table, where }] of tables) {
      const checked = new Map(
        [...schema.get(name)!.matchAll(/CHECK\s*\(\s*(\w+)\s+IN\s+\(\s*('[^)]*')\s*\)\s*\)/g)].map(
          ([, column, list]) => [column!, list!.split(/,\s*/).map(value => value.slice(1, -1))],
        ),
      );
      const declared = new Map(
        (Object.values(getTableColumns(table)) as SQLiteColumn[])
          .filter(column => column.enumValues?.length)
          .map(column => [column.name, [...column.enumValues!]]),
      );
      const sorted = (map: Map<string, string[]>) =>
        [...map].map(([column, list]) => [column, [...list].sort()]).sort();
      expect(sorted(declared), `${where}: ${name}`).toEqual(sorted(checked));
      compared += declared.size;
    }
    expect(compared).toBeGreaterThanOrEqual(2);
  });

  test('every flag of drizzle is checked to be 0 or 1, and every table is STRICT', async () => {
    const d1 = await migrated();
    const schema = new Map((await readSchema(d1)).map(({ name, sql }) => [name, sql ?? '']));
    for (const [name, { table }] of tables) {
      for (const column of Object.values(getTableColumns(table)) as SQLiteColumn[])
        if (column.dataType === 'boolean') expect(schema.get(name)).toContain(`CHECK (${column.name} IN (0, 1))`);
    }
    for (const name of await tableNames(d1)) expect(schema.get(name), name).toMatch(/\) STRICT(, WITHOUT ROWID)?$/);
  });
});
