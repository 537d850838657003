import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { TestTenant } from '../support/world.ts';

/** The audit log as CSV: every entry that the filters leave, every column, and nothing that a spreadsheet would run. */

type Row = Record<string, unknown>;

/** RFC 4180, read strictly. */
function parseCsv(text: string): string[][] {
  const rows: string[][] = [];
  let at = 0;
  while (at < text.length) {
    const row: string[] = [];
    for (let is_last = false; !is_last; at += is_last ? 2 : 1) {
      const [quoted] = text[at] === '"' ? /"(?:[^"]|"")*"/y[Symbol.match](text.slice(at))! : [null];
      const cell = quoted ?? /^[^",\r\n]*/.exec(text.slice(at))![0];
      row.push(quoted === null ? cell : cell.slice(1, -1).replaceAll('""', '"'));
      at += cell.length;
      is_last = text.startsWith('\r\n', at);
      if (!is_last) expect(text[at], `at ${at} of ${text.slice(Math.max(0, at - 50), at + 50)}`).toBe(',');
    }
    rows.push(row);
  }
  return rows;
}

async function insertEvents(tenant: TestTenant, rows: Row[]): Promise<void> {
  const d1 = await tenant.database();
  for (let at = 0; at < rows.length; at += 2000)
    await d1
      .prepare(
        `INSERT INTO events (type, action, actor, actor_name, entity_type, entity_id, changes, data, created_at)
        SELECT 'zone.updated', value ->> 'action', 'job', value ->> 'name', 'zone', value ->> 'id',
          value ->> 'changes', value ->> 'data', value ->> 'at' FROM json_each(?)`,
      )
      .bind(JSON.stringify(rows.slice(at, at + 2000)))
      .run();
}

const event = (parts: Row): Row => ({
  action: 'update',
  name: 'uji',
  id: crypto.randomUUID(),
  changes: '{}',
  data: '{}',
  at: Date.now(),
  ...parts,
});

async function exportRows(tenant: TestTenant, query: Record<string, string> = {}): Promise<Row[]> {
  const answer = await tenant.call('GET', '/audit-logs/export', { query });
  expect(answer.status, answer.text).toBe(200);
  expect(answer.headers.get('content-type')).toBe('text/csv; charset=utf-8');
  expect(answer.headers.get('content-disposition')).toMatch(/^attachment; filename="audit-log-20\d\d-\d\d-\d\d\.csv"$/);
  const [columns, ...rows] = parseCsv(answer.text);
  return rows.map(cells => {
    expect(cells).toHaveLength(columns!.length);
    return Object.fromEntries(columns!.map((column, at) => [column, cells[at]]));
  });
}

/** The list's rows, as the file must hold them. */
const asCells = (row: Row): Row =>
  Object.fromEntries(
    Object.entries(row).map(([column, value]) => [column, value === null ? '' : typeof value === 'string' ? value : JSON.stringify(value)]), // prettier-ignore
  );

async function listRows(tenant: TestTenant, query: Record<string, string> = {}): Promise<Row[]> {
  const rows: Row[] = [];
  for (let page = 1; ; page++) {
    const answer = await tenant.call('GET', '/audit-logs', { query: { ...query, per_page: 100, page } });
    rows.push(...answer.data);
    if (page >= answer.meta.total_pages) return rows;
  }
}

describe('GET /audit-logs/export', () => {
  test('P61 P62 has every column and every entry that the list’s filters leave, in its order, over several pages', async () => {
    const tenant = await TestTenant.signUp({ timezone: 'Asia/Jakarta' });
    const midnight = Date.parse('2026-03-02T00:00:00+07:00');
    const many = Array.from({ length: 1000 }, (_, i) => event({ action: i % 3 ? 'update' : 'delete', at: midnight + (i % 5) - 2, changes: `{"name":["a",${i}]}` })); // prettier-ignore
    await insertEvents(tenant, many);
    const queries = [
      {},
      { action: 'delete' },
      { entity_id: String(many[7]!.id) },
      { created_at_from: '2026-03-02', created_at_to: '2026-03-02' },
      { created_at_to: '2026-03-01' },
      { entity_type: 'nothing' },
    ] as Record<string, string>[];
    for (const query of queries) {
      const listed = await listRows(tenant, query);
      expect(await exportRows(tenant, query), JSON.stringify(query)).toEqual(listed.map(asCells));
    }
    expect(await exportRows(tenant, { created_at_to: '2026-03-01' })).toHaveLength(400);
    expect((await exportRows(tenant)).length).toBeGreaterThan(1000);
    for (const query of [{ page: '1' }, { sort: 'seq' }, { fields: 'seq' }, { created_at_from: 'kemarin' }])
      expect((await tenant.call('GET', '/audit-logs/export', { query: query as never })).status).toBe(400);
  });

  test('P53 whatever was entered comes back as text: no cell is a formula, no cell ends before its end', async () => {
    const tenant = await TestTenant.signUp();
    const piece = fc.constantFrom('=', '+', '-', '@', '\t', '\r', '\n', '"', ',', ';', "'", 'cmd|calc', '王', ' ', '1');
    const text = fc.array(piece, { minLength: 1, maxLength: 6 }).map(parts => parts.join(''));
    await fc.assert(
      fc.asyncProperty(fc.array(text, { minLength: 1, maxLength: 5 }), async names => {
        const [action] = [crypto.randomUUID()];
        await insertEvents(tenant, names.map(name => event({ action, name, changes: JSON.stringify({ name: [null, name] }) }))); // prettier-ignore
        const rows = await exportRows(tenant, { action });
        const shown = names.map(name => (/^[=+\-@\t\r]/.test(name) ? `'${name}` : name)).reverse();
        expect(rows.map(row => row.actor_name)).toEqual(shown);
        expect(rows.map(row => JSON.parse(row.changes as string).name[1])).toEqual([...names].reverse());
        for (const cell of rows.flatMap(row => Object.values(row))) expect(cell).not.toMatch(/^[=+\-@\t\r]/);
      }),
      { numRuns: 100 },
    );
  });

  test('is refused where more than 10,000 entries match, and says what to do', async () => {
    const tenant = await TestTenant.signUp();
    await insertEvents(
      tenant,
      Array.from({ length: 10_000 }, () => event({ action: 'banyak' })),
    );
    expect(await exportRows(tenant, { action: 'banyak' })).toHaveLength(10_000);
    await insertEvents(tenant, [event({ action: 'banyak' })]);
    const { status, error } = await tenant.call('GET', '/audit-logs/export', { query: { action: 'banyak' } });
    expect([status, error.code, Object.keys(error.details!)]).toEqual([400, 'VALIDATION_ERROR', ['created_at_from']]);
  });
});
