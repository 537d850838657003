import type { OpenAPIRouteSchema } from 'chanfana';
import { z } from 'zod';
import { ERRORS, type ErrorCode } from '../errors.ts';
import type { AnyDefinition, Schema } from './definition.ts';
import { dataAnswer, ErrorAnswer, listAnswer } from './envelope.ts';
import { describeAnswerHeaders, describeRefusalHeaders, describeRequestHeaders, hasEtag } from './headers.ts';
import { mayBeAbsent } from './request.ts';

const BINARY = { type: 'string', format: 'binary' };

const json = (schema: Schema) => ({ 'application/json': { schema } });
const HTML = { 'text/html': { schema: { type: 'string' } } };

const MEDIA = {
  json: 'application/json',
  text: 'text/plain',
  form: 'application/x-www-form-urlencoded',
  multipart: 'multipart/form-data',
} as const;

function describeSuccess(definition: AnyDefinition) {
  const { returns, status = 200 } = definition;
  const headers = describeAnswerHeaders(definition);
  const done = (content: Record<string, unknown>) => ({ [status]: { description: 'Done.', headers, content } });
  if ('file' in returns) return done(Object.fromEntries(returns.file.map(type => [type, { schema: BINARY }])));
  if ('html' in returns) return done(HTML);
  if ('list' in returns) return done(json(listAnswer(returns.list, returns.meta)));
  if ('one' in returns)
    return done({
      ...json(dataAnswer(returns.one)),
      ...(returns.or_file && { [returns.or_file.type]: { schema: BINARY } }),
    });
  // HTTP has no more to say: what the two sides say then stands here so that clients know it
  const messages = z.object({ sends: returns.sends, takes: returns.takes }).meta({ id: 'LiveProtocol' });
  return {
    101: {
      description: `A WebSocket of the subprotocol \`${returns.socket}\`: see /docs/live.`,
      headers,
      content: json(messages),
    },
  };
}

/** Where a provider is named, its name may be wrong, or not the token's. */
const TENANT_CODES = ['TENANT_SUSPENDED', 'TENANT_MISMATCH', 'NOT_FOUND'] as const;

/** The endpoint as the OpenAPI document tells of it: every refusal it can give is listed. */
export function describe(definition: AnyDefinition, params: Schema | null, method: string): OpenAPIRouteSchema {
  const { returns, body, accepts = 'json', needs } = definition;
  const codes = new Set<ErrorCode>(['VALIDATION_ERROR', 'RATE_LIMIT', 'INTERNAL_ERROR', ...(definition.errors ?? [])]);
  // also of pages of other sites
  codes.add('FORBIDDEN');
  if (needs !== 'platform') for (const code of TENANT_CODES) codes.add(code);
  if (needs !== 'platform' && needs !== 'public') codes.add('UNAUTHORIZED');
  // what shows a page changes nothing
  if (needs !== 'platform' && method !== 'get' && !('html' in returns)) codes.add('CONFLICT').add('IN_USE');
  if (body) codes.add('PAYLOAD_TOO_LARGE').add('UNSUPPORTED_MEDIA_TYPE');
  const by_status = Map.groupBy(codes, code => ERRORS[code].status);
  const refusals = [...by_status].map(([refused, list]) => [
    String(refused),
    {
      description: list.map(code => `${code}: ${ERRORS[code].message}`).join(' · '),
      headers: describeRefusalHeaders(refused),
      content: 'html' in returns ? HTML : json(ErrorAnswer),
    },
  ]);
  const unchanged =
    method === 'get' && hasEtag(definition)
      ? { 304: { description: 'Still what If-None-Match names.', headers: describeAnswerHeaders(definition) } }
      : {};
  return {
    operationId: definition.id,
    summary: definition.summary,
    description: [definition.description, needs.includes(':') && `Needs the permission \`${needs}\`.`]
      .filter(Boolean)
      .join(' '),
    tags: [definition.id.split('.')[0]!],
    security: ['platform', 'public', 'bridge'].includes(needs) ? [] : [{ bearer: [] }],
    request: {
      ...(params && { params }),
      headers: describeRequestHeaders(definition, method),
      ...(definition.query && { query: definition.query }),
      ...(body && { body: { required: !mayBeAbsent(definition), content: { [MEDIA[accepts]]: { schema: body } } } }),
    },
    responses: { ...describeSuccess(definition), ...unchanged, ...Object.fromEntries(refusals) },
  } as OpenAPIRouteSchema;
}
