import { and, eq, getTableColumns, gte, lte, lt, or, sql, type SQL } from 'drizzle-orm';
import type { SQLiteColumn, SQLiteTable } from 'drizzle-orm/sqlite-core';
import { z } from 'zod';
import type { Context } from '../context.ts';
import { read, type Statement } from '../db/session.ts';
import { notFound } from '../errors.ts';
import { addDays, startOfDate, toIso } from '../lib/time.ts';
import type { Page } from './definition.ts';
import { DateText, Instant, queryInt } from './fields.ts';

/** Lists: pages, filters, ranges, search, sort and chosen columns, all from one declaration and one round trip. */

interface ColumnFilter {
  column: SQLiteColumn;
  schema: z.ZodType;
  /** `exact`, or `range` too: `<name>_from` and `<name>_to`, both ends included. */
  kind: 'exact' | 'range' | 'instant';
  /** What the list shows when the filter isn't given. */
  fallback?: unknown;
  /** From what was given to what the column must be; undefined: any. */
  toValue?: (given: never) => unknown;
}

/** What isn't one column of the table. */
interface ConditionFilter {
  kind: 'condition';
  schema: z.ZodType;
  toCondition: (ctx: Context, given: never) => SQL;
}

export type Filter = ColumnFilter | ConditionFilter;

export const exactly = (column: SQLiteColumn, schema: z.ZodType): ColumnFilter => ({ column, schema, kind: 'exact' });
export const within = (column: SQLiteColumn, schema: z.ZodType): ColumnFilter => ({ column, schema, kind: 'range' });
/** A range of instants, given as instants or as business dates of the tenant. */
export const during = (column: SQLiteColumn): ColumnFilter => ({
  column,
  schema: z.union([DateText, Instant]),
  kind: 'instant',
});
export const suchThat = <S extends z.ZodType>(
  schema: S,
  toCondition: (ctx: Context, given: z.output<S>) => SQL,
): ConditionFilter => ({ kind: 'condition', schema, toCondition });

export interface ListDeclaration<T extends SQLiteTable> {
  table: T;
  filters: Record<string, Filter>;
  /** Columns that a caller may sort by. */
  sort: readonly (keyof T['$inferSelect'] & string)[];
  default_sort: string;
  /** Columns that `fields` may choose: those of the answer's schema. */
  fields: readonly string[];
  /** Rows that are in the list at all. */
  base?: SQL;
  /**
   * Name of the counter that holds the number of `base` rows, or what else selects it as `total`, so that nothing is
   * counted.
   */
  counter?: string | SQL;
  search?: (term: string) => Search;
  /** Break ties of the sort, as its indexes do; `id` unless told. */
  ties?: readonly SQLiteColumn[];
  /** Columns of the table that the page needn't read. */
  omit?: readonly string[];
  /** Filters that aren't known beforehand: `<prefix><anything>=value`. */
  dynamic?: { prefix: string; key: RegExp; most: number; condition: (key: string, value: string) => SQL };
}

/** Which rows hold the term; `index`: the table that says it, which is walked first. */
export interface Search {
  where: SQL;
  index?: SQL;
}

/** For small tables: rows that hold the term in one of the columns, letters of either case; each row is looked at. */
export const contains =
  (...columns: SQLiteColumn[]) =>
  (term: string): Search => ({
    where: or(...columns.map(column => sql`instr(lower(${column}), lower(${term})) > 0`))!,
  });

/** Narrows a list to what belongs to something: which must be there, or it's a 404 that names it. */
export interface Within {
  where: SQL;
  owner: Statement;
  what: string;
}

export interface ListQuery {
  page: number;
  per_page: number;
  search?: string;
  sort?: string;
  fields?: string[];
}

export interface List<T extends SQLiteTable> {
  /** Validates the query string; also its documentation. */
  query: z.ZodObject;
  /** One page and the exact total, in one round trip. */
  readPage(ctx: Context, query: unknown, within?: Within): Promise<Page<T['$inferSelect']>>;
  /** What the rows are that a query's filters leave, for who reads them otherwise. Undefined: all of the table's. */
  where(ctx: Context, query: unknown): SQL | undefined;
}

export const SearchTerm = z
  .string()
  .trim()
  .min(1)
  .max(100)
  .regex(/^[^\u0000-\u001f\u007f]*$/, 'holds control characters')
  .refine(text => text.isWellFormed(), 'is not well-formed Unicode');

export function list<T extends SQLiteTable>(declaration: ListDeclaration<T>): List<T> {
  return {
    query: buildQuery(declaration),
    readPage: (ctx, query, within) => readPage(ctx, declaration, query, within),
    where: (ctx, query) =>
      and(declaration.base, ...filterConditions(ctx, declaration, query as Record<string, unknown>)),
  };
}

function buildQuery<T extends SQLiteTable>(declaration: ListDeclaration<T>): z.ZodObject {
  const { filters, sort, fields } = declaration;
  const shape: Record<string, z.ZodType> = {
    page: queryInt({ min: 1, max: 1_000_000 }).default(1),
    per_page: queryInt({ min: 1, max: 100 }).default(10),
    sort: z
      .enum(sort.flatMap(name => [name, `-${name}`]) as [string, ...string[]])
      .optional()
      .describe(`A leading minus sorts downwards. Default: ${declaration.default_sort}.`),
    fields: z
      .string()
      .transform(text => text.split(','))
      .pipe(z.array(z.enum(fields as [string, ...string[]])).min(1))
      .optional()
      .describe('Only these columns, separated by commas.'),
  };
  if (declaration.search) shape.search = SearchTerm.optional();
  for (const [name, filter] of Object.entries(filters)) {
    if (filter.kind === 'condition') {
      shape[name] = filter.schema.optional();
      continue;
    }
    if (filter.kind !== 'instant')
      shape[name] =
        filter.fallback === undefined ? filter.schema.optional() : filter.schema.default(filter.fallback as never);
    if (filter.kind === 'exact') continue;
    shape[`${name}_from`] = filter.schema.optional().describe(`${name} at or above this.`);
    shape[`${name}_to`] = filter.schema.optional().describe(`${name} at or below this.`);
  }
  const { dynamic } = declaration;
  if (!dynamic) return z.strictObject(shape);
  return z
    .object(shape)
    .catchall(z.string().min(1).max(200))
    .superRefine((query, refinement) => {
      const free = Object.keys(query).filter(key => !Object.hasOwn(shape, key));
      const keys = free.filter(
        key => !key.startsWith(dynamic.prefix) || !dynamic.key.test(key.slice(dynamic.prefix.length)),
      );
      if (keys.length > 0) refinement.addIssue({ code: 'unrecognized_keys', keys, input: query });
      if (free.length > dynamic.most)
        refinement.addIssue({
          code: 'custom',
          message: `are at most ${dynamic.most}`,
          path: [dynamic.prefix],
          input: query,
        });
    });
}

/** D1 counts each row that a page skips; what is skipped is read from the index alone. */
async function readPage<T extends SQLiteTable>(
  ctx: Context,
  declaration: ListDeclaration<T>,
  raw_query: unknown,
  within?: Within,
): Promise<Page<T['$inferSelect']>> {
  const query = raw_query as ListQuery & Record<string, unknown>;
  const { table, base, counter, search } = declaration;
  const columns = getTableColumns(table) as Record<string, SQLiteColumn>;
  const picked = Object.fromEntries(Object.entries(columns).filter(([name]) => !declaration.omit?.includes(name)));
  const searching = query.search === undefined ? undefined : search?.(query.search);
  const conditions = [base, within?.where, ...filterConditions(ctx, declaration, query), searching?.where];
  const index = searching?.index;
  const chosen = ctx.db.orm.select(picked);
  // CROSS JOIN: SQLite must not ask the index once for each row of the table instead
  const source = (index ? chosen.from(index).crossJoin(table) : chosen.from(table)) as ReturnType<
    typeof chosen.from<T>
  >;
  const [, minus, by] = /^(-?)(.*)$/.exec(query.sort ?? declaration.default_sort)!;
  const direction = sql.raw(minus ? 'DESC' : 'ASC');
  const keys = [...new Set([columns[by!]!, ...(declaration.ties ?? [columns.id!])])].map(column => {
    const collate = column.name === 'full_name' ? sql` COLLATE NOCASE` : sql``;
    return sql`${column}${collate} ${direction}`;
  });
  const all = and(...conditions);
  const unfiltered = conditions.every(condition => condition === undefined || condition === base);
  const total =
    counter && unfiltered
      ? typeof counter === 'string'
        ? sql`SELECT value AS total FROM counters WHERE name = ${counter}`
        : counter
      : sql`SELECT count(*) AS total FROM ${index ? sql`${index} CROSS JOIN ` : sql``}${table}${all ? sql` WHERE ${all}` : sql``}`;
  const statements = [
    source
      .where(all)
      .orderBy(...keys)
      .limit(query.per_page)
      .offset((query.page - 1) * query.per_page),
    ctx.db.orm.all<{ total: number }>(total),
  ] as const;
  const [rows, [counted], owner] = (await read(ctx, ...statements, ...(within ? [within.owner] : []))) as unknown as [
    T['$inferSelect'][],
    { total: number }[],
    unknown[] | undefined,
  ];
  if (owner?.length === 0) throw notFound(within!.what);
  return { rows, total: counted?.total ?? 0 };
}

function filterConditions(
  ctx: Context,
  { filters, dynamic }: Pick<ListDeclaration<SQLiteTable>, 'filters' | 'dynamic'>,
  query: Record<string, unknown>,
): SQL[] {
  const custom = Object.entries(query).flatMap(([key, value]) =>
    dynamic && key.startsWith(dynamic.prefix)
      ? [dynamic.condition(key.slice(dynamic.prefix.length), value as string)]
      : [],
  );
  return [...Object.entries(filters).flatMap(([name, filter]) => filterCondition(ctx, name, filter, query)), ...custom];
}

function filterCondition(ctx: Context, name: string, filter: Filter, query: Record<string, unknown>): SQL[] {
  if (filter.kind === 'condition')
    return query[name] === undefined ? [] : [filter.toCondition(ctx, query[name] as never)];
  const { column, kind } = filter;
  const toValue = (filter.toValue ?? (given => given)) as (given: unknown) => unknown;
  const [from, to] = [query[`${name}_from`], query[`${name}_to`]];
  const exact = query[name] === undefined ? undefined : toValue(query[name]);
  const conditions: SQL[] = exact === undefined ? [] : [eq(column, exact)];
  if (kind === 'instant') {
    if (from !== undefined) conditions.push(gte(column, startOf(ctx, from as string)));
    if (to !== undefined) conditions.push(untilEnd(ctx, column, to as string));
    return conditions;
  }
  if (from !== undefined) conditions.push(gte(column, from));
  if (to !== undefined) conditions.push(lte(column, to));
  return conditions;
}

/** A date means its whole day, in the tenant's time zone. */
const untilEnd = (ctx: Context, column: SQLiteColumn, to: string): SQL =>
  isDate(to) ? lt(column, startOf(ctx, addDays(to, 1))) : lte(column, startOf(ctx, to));

const isDate = (text: string) => text.length === 10;

const startOf = (ctx: Context, text: string) =>
  isDate(text) ? toIso(startOfDate(text, ctx.tenant.timezone)) : new Date(text).toISOString();
