import { and, eq, type SQL } from 'drizzle-orm';
import type { SQLiteColumn, SQLiteTable } from 'drizzle-orm/sqlite-core';
import { z } from 'zod';
import type { Permission } from '../auth/permissions.ts';
import type { Context } from '../context.ts';
import { commit, mustChange, RaceLost, updateRow, type Write } from '../db/commit.ts';
import { read, type Statement } from '../db/session.ts';
import { notFound } from '../errors.ts';
import { createdChanges, deletedChanges, diffChanges, type NewEvent } from '../events/event.ts';
import { toIso } from '../lib/time.ts';
import type { Endpoint } from './definition.ts';
import { endpoint } from './endpoint.ts';
import { list, type List, type ListDeclaration } from './list.ts';

type RowTable = SQLiteTable & { id: SQLiteColumn; updated_at: SQLiteColumn; created_at: SQLiteColumn };
type RowOf<T extends SQLiteTable> = T['$inferSelect'] & { id: string; updated_at: string };

export interface CrudDeclaration<T extends RowTable, Wire extends z.ZodObject, Input extends z.ZodObject> {
  /** `zone`: in summaries, errors and event types. */
  name: string;
  /** `zones`: in operation ids. */
  plural: string;
  table: T;
  permissions: { read: Permission; write: Permission };
  row: Wire;
  /** What may be sent: whole on POST, any part of it on PUT. */
  input: Input;
  list: Omit<ListDeclaration<T>, 'table' | 'fields'>;
  /** Row → wire, where they differ. */
  toWire?: (row: RowOf<T>, ctx: Context) => z.input<Wire>;
  /** Sealed columns: events tell that they changed and no more. */
  secrets?: readonly string[];
  /**
   * From what was sent to what is stored: checks references, seals secrets, adds writes of its own.
   * `before` is null on create.
   */
  prepare?: (ctx: Context, sent: Partial<z.output<Input>>, target: Target<T>) => Promise<Prepared<T>>;
  /** What must be true after any change or deletion. */
  invariants?: readonly Write[];
  /** Routers that must hold something else once the row is deleted. */
  routersOf?: (row: RowOf<T>) => readonly string[];
  /** Writes that go before the row's deletion. What the database still finds in use is refused with IN_USE. */
  beforeDelete?: (ctx: Context, row: RowOf<T>) => readonly Write[];
}

export interface Target<T extends SQLiteTable> {
  id: string;
  before: RowOf<T> | null;
}

export interface Prepared<T extends SQLiteTable> {
  columns: Partial<T['$inferInsert']>;
  /** Writes of its own, before and after that of the row. */
  writes_before?: readonly Write[];
  writes?: readonly Write[];
  /** What those writes did to other rows that people manage. */
  events?: readonly NewEvent[];
  routers?: readonly string[];
}

export interface Crud<T extends RowTable> {
  routes: Record<'GET /' | 'POST /' | 'GET /:id' | 'PUT /:id' | 'DELETE /:id', Endpoint>;
  list: List<T>;
  find(ctx: Context, id: string): Promise<RowOf<T>>;
  /** The statement that `find` reads with. */
  select(ctx: Context, id: string): Statement;
}

export const Deleted = z.object({ id: z.uuid() }).meta({ id: 'Deleted' });

/** The five endpoints of a small resource. Each is an ordinary endpoint value: take those that fit, write the others. */
export function crud<T extends RowTable, Wire extends z.ZodObject, Input extends z.ZodObject>(
  declaration: CrudDeclaration<T, Wire, Input>,
): Crud<T> {
  const { name, plural, table, permissions, row, input } = declaration;
  const toWire = (declaration.toWire ?? (found => found)) as (row: unknown, ctx: Context) => z.input<Wire>;
  const pages = list<T>({ ...declaration.list, table, fields: Object.keys(row.shape) } as ListDeclaration<T>);
  const find = async (ctx: Context, id: string) => {
    const [rows] = await read(ctx, selectById(ctx, table, id));
    const [found] = rows as RowOf<T>[];
    if (!found) throw notFound(name);
    return found;
  };
  const routes: Record<string, Endpoint> = {
    'GET /': endpoint({
      id: `${plural}.list`,
      summary: `List ${plural}`,
      needs: permissions.read,
      query: pages.query,
      returns: { list: row },
      run: async (ctx, { query }) => {
        const { rows, total } = await pages.readPage(ctx, query);
        return { rows: rows.map(each => toWire(each, ctx)), total };
      },
    }),
    'POST /': endpoint({
      id: `${plural}.create`,
      summary: `Create a ${name}`,
      needs: permissions.write,
      body: input,
      returns: { one: row },
      status: 201,
      errors: ['DUPLICATE_ENTRY'],
      run: async (ctx, { body }) => toWire(await create(ctx, declaration, body as Partial<z.output<Input>>), ctx),
    }),
    'GET /:id': endpoint({
      id: `${plural}.get`,
      summary: `Get a ${name}`,
      needs: permissions.read,
      returns: { one: row },
      run: async (ctx, { params }) => toWire(await find(ctx, params.id), ctx),
    }),
    'PUT /:id': endpoint({
      id: `${plural}.update`,
      summary: `Change a ${name}`,
      needs: permissions.write,
      body: nameParts(input),
      returns: { one: row },
      errors: ['DUPLICATE_ENTRY', 'CONFLICT'],
      run: async (ctx, { params, body }) => {
        const before = await find(ctx, params.id);
        return toWire(await update(ctx, declaration, before, body as Partial<z.output<Input>>), ctx);
      },
    }),
    'DELETE /:id': endpoint({
      id: `${plural}.delete`,
      summary: `Delete a ${name}`,
      needs: permissions.write,
      returns: { one: Deleted },
      errors: ['IN_USE'],
      run: async (ctx, { params }) => remove(ctx, declaration, await find(ctx, params.id)),
    }),
  };
  return { routes: routes as Crud<T>['routes'], list: pages, find, select: (ctx, id) => selectById(ctx, table, id) };
}

/** Any part of an input: `UserInput` → `UserPatch` in the document. */
function nameParts(input: z.ZodObject): z.ZodObject {
  const id = input.meta()?.id;
  if (!id?.endsWith('Input')) throw new Error(`a body of a crud is named …Input: ${id}`);
  return input.partial().meta({ id: id.replace(/Input$/, 'Patch') });
}

function selectById(ctx: Context, table: RowTable, id: string): Statement {
  return ctx.db.orm
    .select()
    .from(table)
    .where(eq(table.id, id) as SQL);
}

const event = (
  type: string,
  action: NewEvent['action'],
  entity_id: string,
  changes: NewEvent['changes'],
): NewEvent => ({
  type: type as NewEvent['type'],
  action,
  entity_id,
  changes,
});

async function create<T extends RowTable, W extends z.ZodObject, I extends z.ZodObject>(
  ctx: Context,
  { table, name, prepare, secrets }: CrudDeclaration<T, W, I>,
  sent: Partial<z.output<I>>,
): Promise<RowOf<T>> {
  const id = ctx.newId();
  const prepared: Prepared<T> = prepare ? await prepare(ctx, sent, { id, before: null }) : { columns: sent as never };
  const at = toIso(ctx.now);
  const row = { ...prepared.columns, id, created_at: at, updated_at: at };
  const insert = ctx.db.orm
    .insert(table)
    .values(row as never)
    .returning() as unknown as Statement;
  const created = {
    ...event(`${name}.created`, 'create', id, createdChanges(row, secrets)),
    routers: prepared.routers,
  };
  const first = prepared.writes_before ?? [];
  const writes = [...first, insert, ...(prepared.writes ?? [])];
  const results = await commit(ctx, writes, ...(prepared.events ?? []), created);
  return results[first.length]![0] as RowOf<T>;
}

/** Nothing that differs: nothing is written, and nothing told. */
async function update<T extends RowTable, W extends z.ZodObject, I extends z.ZodObject>(
  ctx: Context,
  { table, name, prepare, secrets, invariants = [] }: CrudDeclaration<T, W, I>,
  before: RowOf<T>,
  sent: Partial<z.output<I>>,
): Promise<RowOf<T>> {
  const prepared: Prepared<T> = prepare
    ? await prepare(ctx, sent, { id: before.id, before })
    : { columns: sent as never };
  const write = updateRow(ctx, table as never, before, prepared.columns as never);
  const changes = diffChanges(before, prepared.columns, { secrets });
  if (Object.keys(changes).length === 0) return before;
  const updated = { ...event(`${name}.updated`, 'update', before.id, changes), routers: prepared.routers };
  const first = prepared.writes_before ?? [];
  const writes = [...first, write, ...(prepared.writes ?? []), ...invariants];
  const results = await commit(ctx, writes, ...(prepared.events ?? []), updated);
  return results[first.length]![0] as RowOf<T>;
}

async function remove<T extends RowTable, W extends z.ZodObject, I extends z.ZodObject>(
  ctx: Context,
  { table, name, secrets, beforeDelete, routersOf, invariants = [] }: CrudDeclaration<T, W, I>,
  row: RowOf<T>,
): Promise<{ id: string }> {
  // of two who delete it at once, or one who changes it meanwhile, the event tells what was really deleted
  const as_read = and(eq(table.id, row.id), eq(table.updated_at, row.updated_at));
  const deletion = mustChange(ctx.db.orm.delete(table).where(as_read), new RaceLost());
  const told = event(`${name}.deleted`, 'delete', row.id, deletedChanges(row, secrets));
  const deleted = { ...told, routers: routersOf?.(row) };
  await commit(ctx, [...(beforeDelete?.(ctx, row) ?? []), deletion, ...invariants], deleted);
  return { id: row.id };
}
