import fc from 'fast-check';
import type { Role } from '../../../src/auth/permissions.ts';
import type { Route } from '../../../src/http/resource.ts';
import {
  acceptsOf,
  CONTENT_TYPE,
  fittingBody,
  isOfBridge,
  isPublic,
  isUnderRouters,
  sampleBody,
  underOlderName,
} from '../contract.ts';
import { fitting, type Knowledge, type Operation, type Schema } from './fitting.ts';
import {
  brokenExports,
  brokenForms,
  brokenMultiparts,
  type Headers,
  hostileAuthorizations,
  hostileBodies,
  hostileHeaders,
  hostileJson,
  hostileKeys,
  hostileQueryKeys,
  hostileQueryValues,
  hostileSegments,
  hostileTexts,
  hostileTypes,
} from './hostile.ts';

/** Requests to one route: as they should be, at the edges of what is allowed, or with one thing or two spoiled. */

export type Who = Role | 'nobody' | 'bridge';

export interface Attempt {
  /** What is spoiled of it. */
  mode: Mode;
  who: Who;
  /** With its query, as it is sent. */
  path: string;
  headers: Headers;
  body?: BodyInit;
  /** Undefined: as the route wants it. */
  type?: string | null;
}

type Mode = 'nothing' | 'header' | 'path' | 'query' | 'token' | 'field' | 'body' | 'type';

/** How often each; a body is where most can be wrong. */
function modesOf(operation: Operation): Mode[] {
  const names = (place: string) => (operation.parameters ?? []).filter(parameter => parameter.in === place);
  const with_body: Mode[] = ['nothing', 'nothing', 'field', 'field', 'field', 'field', 'field', 'body', 'type'];
  const with_query: Mode[] = ['nothing', 'nothing', 'nothing', 'query', 'query', 'query'];
  return [
    'nothing',
    'nothing',
    'nothing',
    'header',
    'token',
    'query',
    ...(names('path').length > 0 ? (['path'] as const) : []),
    ...(names('query').length > 0 ? with_query : []),
    ...(operation.requestBody ? with_body : []),
  ];
}

function callers(route: Route, mode: Mode): fc.Arbitrary<Who> {
  if (mode === 'token') return fc.constant('nobody');
  if (isOfBridge(route)) return fc.constantFrom<Who>(...Array<Who>(9).fill('bridge'), 'nobody', 'admin');
  if (isPublic(route)) return fc.constant('nobody');
  return fc.constantFrom<Who>(...Array<Who>(9).fill('admin'), 'operator', 'operator', 'technician', 'viewer', 'nobody');
}

type Parameters = NonNullable<Operation['parameters']>;

const encode = (value: unknown) => encodeURIComponent(String(value).toWellFormed());

function paths(route: Route, parameters: Parameters, mode: Mode, knowledge: Knowledge): fc.Arbitrary<string> {
  const segments = parameters
    .filter(parameter => parameter.in === 'path')
    .map(({ name, schema }) => {
      const right = fitting(schema, `:${name}`, knowledge)
        .map(encode)
        .filter(text => !/^(\.|%2e){0,2}$/i.test(text));
      return fc.tuple(fc.constant(name), mode === 'path' ? fc.oneof(hostileSegments, hostileSegments, right) : right);
    });
  const names = isUnderRouters(route) ? [route.path, underOlderName(route.path)] : [route.path];
  return fc
    .tuple(fc.constantFrom(...names), ...segments)
    .map(([path, ...filled]) => filled.reduce((whole, [name, text]) => whole.replace(`:${name}`, () => text), path));
}

/** Columns that `fields` may choose. */
function columnsOf({ endpoint }: Route): string[] {
  const { returns } = endpoint.definition;
  return 'list' in returns ? Object.keys((returns.list as unknown as { shape?: object }).shape ?? {}) : [];
}

function queries(route: Route, parameters: Parameters, mode: Mode, knowledge: Knowledge): fc.Arbitrary<string> {
  const known = parameters.filter(parameter => parameter.in === 'query');
  const columns = columnsOf(route);
  const chosen =
    columns.length > 0 ? fc.subarray(columns, { minLength: 1 }).map(names => names.join(',')) : fc.constant('id');
  const right = known.map(({ name, schema }) => {
    const value = name === 'fields' ? chosen : fitting(schema, name, knowledge);
    return value.map(each => `${encode(name)}=${encode(each)}`);
  });
  const wrong_values = fc.tuple(fc.constantFrom(...known.map(({ name }) => name), 'page'), hostileQueryValues);
  const wrong = fc
    .oneof(wrong_values, wrong_values, fc.tuple(hostileQueryKeys, hostileQueryValues))
    .map(pair => pair.join('='));
  const needed = known.flatMap(({ required }, at) => (required ? [right[at]!] : []));
  const some = right.length > 0 ? fc.array(fc.oneof(...right), { maxLength: 3 }) : fc.constant([]);
  const odd = mode === 'query' ? fc.array(wrong, { minLength: 1, maxLength: 2 }) : fc.constant([]);
  return fc.tuple(fc.tuple(...needed), some, odd).map(parts => {
    const pairs = parts.flat() as string[];
    // a repeated key is a hostile one
    const first =
      mode === 'query'
        ? pairs
        : pairs.filter((pair, at) => pairs.findIndex(each => keyOf(each) === keyOf(pair)) === at);
    return first.length > 0 ? `?${first.join('&')}` : '';
  });
}

const keyOf = (pair: string) => pair.split('=')[0];

type Body = Pick<Attempt, 'body' | 'type'>;

/** What the schema's words don't tell is refused, and then isn't sent, or sent as it is known to be right. */
function mend(route: Route, body: Record<string, unknown>, knowledge: Knowledge): Record<string, unknown> {
  const sample = sampleBody(route, knowledge.ids());
  const mended = { ...body };
  for (let tries = 0; tries < 5; tries++) {
    const { error } = route.endpoint.definition.body!.safeParse(mended);
    if (!error) return mended;
    for (const { path } of error.issues) {
      const field = String(path[0]);
      if (field in sample) mended[field] = sample[field];
      else delete mended[field];
    }
  }
  return sample;
}

/** Places in a value, as pointers. */
function placesOf(value: unknown, at = ''): string[] {
  if (value === null || typeof value !== 'object') return [at];
  return [at, ...Object.entries(value).flatMap(([key, each]) => placesOf(each, `${at}/${key}`))];
}

interface Spoiling {
  which: number;
  raw: string;
  /** A member put in beside it instead: unknown, or there twice. */
  key: string | null;
}

const spoilings: fc.Arbitrary<Spoiling[]> = fc.array(
  fc.record({ which: fc.nat(10_000), raw: hostileJson, key: fc.option(hostileKeys, { freq: 3 }) }),
  { minLength: 1, maxLength: 2 },
);

/** JSON with some places written otherwise; what stands twice differs in its second place. */
function writeSpoiled(value: unknown, spoiled: ReadonlyMap<string, Spoiling>, at = ''): string {
  const spoiling = spoiled.get(at);
  const written = writeWhole(value, spoiled, at);
  if (!spoiling) return written;
  if (spoiling.key === null || !written.endsWith('}')) return spoiling.raw;
  const [first] = Object.keys(value as object);
  // as often a name that is there already
  const key = first !== undefined && spoiling.which % 2 === 0 ? first : spoiling.key;
  const separator = written === '{}' ? '' : ',';
  return `${written.slice(0, -1)}${separator}${JSON.stringify(key)}:${spoiling.raw}}`;
}

function writeWhole(value: unknown, spoiled: ReadonlyMap<string, Spoiling>, at: string): string {
  if (Array.isArray(value))
    return `[${value.map((each, index) => writeSpoiled(each, spoiled, `${at}/${index}`)).join(',')}]`;
  if (value === null || typeof value !== 'object') return JSON.stringify(value);
  const members = Object.entries(value).map(([key, each]) => `${JSON.stringify(key)}:${writeSpoiled(each, spoiled, `${at}/${key}`)}`); // prettier-ignore
  return `{${members.join(',')}}`;
}

function spoil(value: unknown, list: readonly Spoiling[]): string {
  const [, ...places] = placesOf(value);
  const spoiled = new Map(
    list.map(each => [each.key === null && places.length > 0 ? places[each.which % places.length]! : '', each]),
  );
  return writeSpoiled(value, spoiled);
}

/** All of it at its edges, or a body known to be right with a few fields at theirs. */
function fittingBodies(route: Route, schema: Schema, knowledge: Knowledge): fc.Arbitrary<Record<string, unknown>> {
  const edged = fitting(schema, '', knowledge) as fc.Arbitrary<Record<string, unknown>>;
  const plain = fc.tuple(edged, fc.array(fc.nat(100), { maxLength: 2 })).map(([body, which]) => {
    const fields = Object.entries(body);
    const some = fields.length > 0 ? which.map(at => fields[at % fields.length]!) : [];
    return { ...sampleBody(route, knowledge.ids()), ...Object.fromEntries(some) };
  });
  return fc.oneof(edged, plain).map(body => mend(route, body, knowledge));
}

function jsonBodies(route: Route, operation: Operation, mode: Mode, knowledge: Knowledge): fc.Arbitrary<Body> {
  if (mode === 'body') return hostileBodies.map(body => ({ body }));
  const { schema } = operation.requestBody!.content[CONTENT_TYPE.json]!;
  const right = fittingBodies(route, schema, knowledge);
  if (mode === 'field') return fc.tuple(right, spoilings).map(([body, list]) => ({ body: spoil(body, list) }));
  return right.map(body => ({ body: JSON.stringify(body) }));
}

function formBodies(operation: Operation, mode: Mode, knowledge: Knowledge): fc.Arbitrary<Body> {
  const { schema } = operation.requestBody!.content[CONTENT_TYPE.form]!;
  const right = fitting(schema, '', knowledge) as fc.Arbitrary<Record<string, string>>;
  if (mode !== 'field' && mode !== 'body')
    return right.map(fields => ({ body: new URLSearchParams(fields).toString() }));
  return fc
    .oneof(
      brokenForms(['customer_code', 'phone']),
      fc
        .tuple(right, hostileTexts)
        .map(([fields, text]) => new URLSearchParams({ ...fields, phone: text.toWellFormed() }).toString()),
    )
    .map(body => ({ body }));
}

/** A body with any content type at all, where that is what is spoiled. */
function bodies(route: Route, operation: Operation, mode: Mode, knowledge: Knowledge): fc.Arbitrary<Body> {
  if (!operation.requestBody) return fc.constant({});
  const accepts = acceptsOf(route);
  const is_broken = mode === 'field' || mode === 'body';
  const of_kind = (): fc.Arbitrary<Body> => {
    if (accepts === 'json') return jsonBodies(route, operation, mode, knowledge);
    if (accepts === 'form') return formBodies(operation, mode, knowledge);
    // written by hand, where the type is another: the runtime gives a form one of its own
    if (!is_broken && !(accepts === 'multipart' && mode === 'type'))
      return fc.constant(null).map(() => ({ body: fittingBody(route)! }));
    if (accepts === 'multipart') return brokenMultiparts(['photo', 'house_photo']);
    return fc.oneof(brokenExports, hostileBodies as fc.Arbitrary<string>).map(body => ({ body }));
  };
  if (mode !== 'type') return of_kind();
  return fc.oneof(
    fc.tuple(of_kind(), hostileTypes).map(([body, type]) => ({ ...body, type })),
    fc.constantFrom<Body>({}, { body: '' }, { body: '', type: CONTENT_TYPE[accepts] }),
  );
}

function headersOf(route: Route, mode: Mode): fc.Arbitrary<Headers> {
  const own: Headers = 'socket' in route.endpoint.definition.returns ? { upgrade: 'websocket' } : {};
  if (mode === 'header') return hostileHeaders.map(headers => ({ ...own, ...headers }));
  if (mode === 'token') return hostileAuthorizations.map(authorization => ({ ...own, authorization }));
  return fc.constant(own);
}

export function attempts(route: Route, operation: Operation, knowledge: Knowledge): fc.Arbitrary<Attempt> {
  const parameters = operation.parameters ?? [];
  return fc.constantFrom(...modesOf(operation)).chain(mode =>
    fc
      .record({
        who: callers(route, mode),
        path: paths(route, parameters, mode, knowledge),
        query: queries(route, parameters, mode, knowledge),
        headers: headersOf(route, mode),
        body: bodies(route, operation, mode, knowledge),
      })
      .map(({ who, path, query, headers, body }) => ({ mode, who, path: path + query, headers, ...body })),
  );
}
