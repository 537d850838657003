import { getTableColumns, sql, type SQL } from 'drizzle-orm';
import { index, integer, sqliteTable, text, type SQLiteColumn, type SQLiteTable } from 'drizzle-orm/sqlite-core';
import type { Context } from '../context.ts';
import { chunkJson } from '../db/bulk.ts';
import { instant, json } from '../db/columns.ts';
import type { Statement } from '../db/session.ts';
import { MASK } from '../http/fields.ts';

/** Field → [old, new]; a secret shows only that it changed. */
export type Changes = Record<string, [unknown, unknown]>;

/** Append-only: the audit log and the outbox in one. */
export const events = sqliteTable(
  'events',
  {
    seq: integer('seq').primaryKey({ autoIncrement: true }),
    type: text('type').notNull(),
    action: text('action').notNull(),
    actor: text('actor', { enum: ['user', 'customer', 'bridge', 'gateway', 'job', 'platform'] }).notNull(),
    actor_name: text('actor_name'),
    user_id: text('user_id'),
    user_email: text('user_email'),
    entity_type: text('entity_type').notNull(),
    entity_id: text('entity_id').notNull(),
    customer_id: text('customer_id'),
    changes: json<Changes>('changes').notNull(),
    data: json<Record<string, unknown>>('data').notNull(),
    ip_address: text('ip_address'),
    request_id: text('request_id'),
    created_at: instant('created_at').notNull(),
  },
  table => [index('events_by_created').on(table.created_at)],
);

export interface NewEvent {
  /** `customer.created`: the entity, then what happened. */
  type: `${string}.${string}`;
  action: 'create' | 'update' | 'delete' | 'login' | 'logout' | 'apply';
  entity_id: string;
  customer_id?: string;
  changes?: Changes;
  /** What subscribers need beyond the changes. Never a secret. */
  data?: Record<string, unknown>;
  /** Routers whose desired set this raised: the provisioning queue is woken for them. */
  routers?: readonly string[];
}

/** What differs between two states of a row; `secrets` are told of, never told. */
export function diffChanges(
  before: Record<string, unknown>,
  after: Record<string, unknown>,
  options: { secrets?: readonly string[]; ignore?: readonly string[] } = {},
): Changes {
  const changes: Changes = {};
  for (const key of Object.keys(after)) {
    if (options.ignore?.includes(key)) continue;
    const [old_value, new_value] = [before[key] ?? null, after[key] ?? null];
    if (JSON.stringify(old_value) === JSON.stringify(new_value)) continue;
    changes[key] = options.secrets?.includes(key) ? [old_value && MASK, new_value && MASK] : [old_value, new_value];
  }
  return changes;
}

/** A new row as changes from nothing. */
export function createdChanges(row: Record<string, unknown>, secrets: readonly string[] = []): Changes {
  const present = Object.entries(row).filter(([, value]) => value !== null && value !== undefined);
  return diffChanges({}, Object.fromEntries(present), { secrets, ignore: ['id', 'created_at', 'updated_at'] });
}

/** A row that is gone as changes to nothing. */
export function deletedChanges(row: Record<string, unknown>, secrets: readonly string[] = []): Changes {
  const told = Object.entries(createdChanges(row, secrets));
  return Object.fromEntries(told.map(([key, [, value]]) => [key, [value, null]]));
}

function describeActor(ctx: Context) {
  const { actor } = ctx;
  if (actor.kind === 'user') return { actor: 'user', actor_name: null, user_id: actor.id };
  if (actor.kind === 'anonymous') return { actor: 'platform', actor_name: 'sign-in', user_id: null };
  return { actor: actor.kind, actor_name: actor.name, user_id: null };
}

/**
 * Events of a bulk change that SQL alone knows: `rows` selects entity_id, customer_id and changes (JSON text), and data
 * (the same) where told so.
 */
export function insertEventsFrom(
  ctx: Context,
  event: Pick<NewEvent, 'type' | 'action'>,
  rows: SQL,
  { with_data = false }: { with_data?: boolean } = {},
): Statement {
  const who = describeActor(ctx);
  return ctx.db.orm.run(sql`
    INSERT INTO events (type, action, entity_type, entity_id, customer_id, changes, data,
      actor, actor_name, user_id, user_email, ip_address, request_id, created_at)
    SELECT ${event.type}, ${event.action}, ${event.type.split('.')[0]}, r.entity_id, r.customer_id, r.changes,
      ${with_data ? sql`r.data` : sql`'{}'`},
      ${who.actor}, ${who.actor_name}, ${who.user_id}, (SELECT email FROM users WHERE id = ${who.user_id}), ${ctx.ip},
      ${ctx.request_id}, ${ctx.now}
    FROM (${rows}) AS r`);
}

/** Told of no new row: what only the database needs, and what follows from other columns. */
const UNTOLD = ['id', 'created_at', 'updated_at'];

/** A column's value, in SQL, as JSON has it. */
function jsonValue(column: SQLiteColumn): SQL {
  if (column.dataType === 'boolean') return sql`json(iif(${column}, 'true', 'false'))`;
  if (column.dataType === 'json') return sql`json(${column})`;
  if (column.dataType === 'custom') return sql`strftime('%Y-%m-%dT%H:%M:%fZ', ${column} / 1000.0, 'unixepoch')`;
  return sql`${column}`;
}

/**
 * Events of rows that this batch has put into `table`, with what the database itself gave them (numbers): the columns
 * as changes from nothing.
 */
export function insertCreatedEvents(
  ctx: Context,
  type: NewEvent['type'],
  table: SQLiteTable & { id: SQLiteColumn; customer_id: SQLiteColumn },
  where: SQL,
  untold: readonly string[] = [],
): Statement {
  const columns = (Object.values(getTableColumns(table)) as SQLiteColumn[]).filter(
    ({ name }) => ![...UNTOLD, ...untold].includes(name),
  );
  const pairs = columns.map(column => sql`${sql.raw(`'${column.name}'`)}, ${jsonValue(column)}`);
  const changes = sql`(SELECT json_group_object(c.key, json(CASE c.type
    WHEN 'object' THEN json_array(NULL, json(c.value)) WHEN 'array' THEN json_array(NULL, json(c.value))
    WHEN 'true' THEN '[null,true]' WHEN 'false' THEN '[null,false]' ELSE json_array(NULL, c.value) END))
    FROM json_each(json_object(${sql.join(pairs, sql`, `)})) AS c WHERE c.type <> 'null')`;
  return insertEventsFrom(
    ctx,
    { type, action: 'create' },
    sql`SELECT ${table.id} AS entity_id, ${table.customer_id} AS customer_id, ${changes} AS changes
      FROM ${table} WHERE ${where} ORDER BY ${table.id}`,
  );
}

/** The statements that append events, in order, in the batch of the change that they tell of. */
export function insertEvents(ctx: Context, list: readonly NewEvent[]): Statement[] {
  const who = describeActor(ctx);
  const encoded = list.map(event =>
    JSON.stringify([
      event.type,
      event.action,
      event.type.split('.')[0],
      event.entity_id,
      event.customer_id ?? null,
      JSON.stringify(event.changes ?? {}),
      JSON.stringify({ ...event.data, ...(event.routers && { router_ids: event.routers }) }),
    ]),
  );
  return chunkJson(encoded).map(chunk =>
    ctx.db.orm.run(sql`
      INSERT INTO events (type, action, entity_type, entity_id, customer_id, changes, data,
        actor, actor_name, user_id, user_email, ip_address, request_id, created_at)
      SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6,
        ${who.actor}, ${who.actor_name}, ${who.user_id}, 
        (SELECT email FROM users WHERE id = ${who.user_id}), ${ctx.ip}, ${ctx.request_id}, ${ctx.now}
      FROM json_each(${chunk})`),
  );
}
