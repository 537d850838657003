import type { OpenAPIRouteSchema } from 'chanfana';
import { z } from 'zod';
import { ERRORS, type ErrorCode } from '../errors.ts';
import type { AnyDefinition, Schema } from './definition.ts';
import { BRIDGE_HEADER, TENANT_HEADER } from '../protocol/messages.ts';
import { NONCE_HEADER, SIGNATURE_HEADER, TIME_HEADER } from '../protocol/signature.ts';
import { IDEMPOTENCY_HEADER } from './idempotency.ts';
import { dataAnswer, ErrorAnswer, listAnswer } from './envelope.ts';
import { mayBeAbsent } from './request.ts';

const TenantHeader = z.object({
  'X-Tenant-ID': z.string().optional().describe('Id or slug of the provider, where the host doesn’t name it.'),
});

const BridgeHeaders = z.object({
  [TENANT_HEADER]: z.string().describe('Id of the provider.'),
  [BRIDGE_HEADER]: z.string().describe('Id of the bridge.'),
  [TIME_HEADER]: z.string().describe('Epoch milliseconds; newer than in any call before.'),
  [NONCE_HEADER]: z.string().describe('Used once; the answer’s signature covers it.'),
  [SIGNATURE_HEADER]: z.string().describe('HMAC-SHA256 with the bridge’s secret, hex.'),
});

const KeyHeader = (key: 'required' | 'optional') =>
  z.object({
    [IDEMPOTENCY_HEADER]: (key === 'required' ? z.string() : z.string().optional()).describe(
      'The same key and body within 24 hours does nothing more, and gives the same answer; another body is a 409.',
    ),
  });

const BINARY = { type: 'string', format: 'binary' };

const json = (schema: Schema) => ({ 'application/json': { schema } });
const HTML = { 'text/html': { schema: { type: 'string' } } };

const MEDIA = {
  json: 'application/json',
  text: 'text/plain',
  form: 'application/x-www-form-urlencoded',
  multipart: 'multipart/form-data',
} as const;

function describeSuccess({ returns, status = 200 }: AnyDefinition) {
  const done = (content: Record<string, unknown>) => ({ [status]: { description: 'Done.', content } });
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
      content: json(messages),
    },
  };
}

/** The endpoint as the OpenAPI document tells of it: every refusal it can give is listed. */
export function describe(definition: AnyDefinition, params: Schema | null, method: string): OpenAPIRouteSchema {
  const { returns, body, accepts = 'json', needs } = definition;
  const codes = new Set<ErrorCode>(['VALIDATION_ERROR', 'RATE_LIMIT', 'INTERNAL_ERROR', ...(definition.errors ?? [])]);
  if (needs !== 'platform') for (const code of ['TENANT_SUSPENDED', 'NOT_FOUND'] as const) codes.add(code);
  if (needs === 'bridge') codes.add('UNAUTHORIZED').add('TENANT_MISMATCH');
  else if (needs !== 'platform' && needs !== 'public')
    codes.add('UNAUTHORIZED').add('FORBIDDEN').add('TENANT_MISMATCH');
  // what shows a page changes nothing
  if (needs !== 'platform' && method !== 'get' && !('html' in returns)) codes.add('CONFLICT');
  if (body) codes.add('PAYLOAD_TOO_LARGE').add('UNSUPPORTED_MEDIA_TYPE');
  const by_status = Map.groupBy(codes, code => ERRORS[code].status);
  const refusals = [...by_status].map(([refused, list]) => [
    String(refused),
    {
      description: list.map(code => `${code}: ${ERRORS[code].message}`).join(' · '),
      content: 'html' in returns ? HTML : json(ErrorAnswer),
    },
  ]);
  const has_etag = method === 'get' && 'one' in returns && 'updated_at' in ((returns.one as z.ZodObject).shape ?? {});
  const unchanged = has_etag ? { 304: { description: 'Still what If-None-Match names.' } } : {};
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
      ...(needs === 'public' && !definition.tenantOf && { headers: TenantHeader }),
      ...(needs === 'bridge' && { headers: BridgeHeaders }),
      ...(definition.idempotency && { headers: KeyHeader(definition.idempotency.key) }),
      ...(definition.query && { query: definition.query }),
      ...(body && { body: { required: !mayBeAbsent(definition), content: { [MEDIA[accepts]]: { schema: body } } } }),
    },
    responses: { ...describeSuccess(definition), ...unchanged, ...Object.fromEntries(refusals) },
  } as OpenAPIRouteSchema;
}
