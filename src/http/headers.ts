import { z } from 'zod';
import { BRIDGE_HEADER, TENANT_HEADER } from '../protocol/messages.ts';
import { NONCE_HEADER, SIGNATURE_HEADER, TIME_HEADER } from '../protocol/signature.ts';
import type { AnyDefinition } from './definition.ts';
import { IDEMPOTENCY_HEADER } from './idempotency.ts';

/** The headers of the conventions, as the document tells of them: those of requests, and those of answers. */

const optional = (description: string) => z.string().optional().describe(description);

const REQUEST_ID = {
  'X-Request-Id': optional(
    'Your own name of the request, 8 to 64 of `A-Z a-z 0-9 . _ -`: it comes back, and stands in the log and the audit log.',
  ),
};

const TENANT = {
  'X-Tenant-ID': optional('Id or slug of the provider; with a host or a token that names one, it must be the same.'),
};

const BOOKMARK = {
  'X-D1-Bookmark': optional(
    'Of an earlier answer: what is read is no older than that. `first-primary`: the newest there is.',
  ),
};

const IF_NONE_MATCH = { 'If-None-Match': optional('An `ETag` that is known: a 304 when it still holds.') };

const IF_MATCH = {
  'If-Match': optional('The `ETag` that the change is meant for: a 409 when somebody has changed the row since.'),
};

const OF_BRIDGE = {
  [TENANT_HEADER]: z.string().describe('Id of the provider.'),
  [BRIDGE_HEADER]: z.string().describe('Id of the bridge.'),
  [TIME_HEADER]: z.string().describe('Epoch milliseconds; newer than in any call before.'),
  [NONCE_HEADER]: z.string().describe('Used once; the answer’s signature covers it.'),
  [SIGNATURE_HEADER]: z.string().describe('HMAC-SHA256 with the bridge’s secret, hex.'),
};

const keyHeader = (key: 'required' | 'optional') => ({
  [IDEMPOTENCY_HEADER]: (key === 'required' ? z.string() : z.string().optional()).describe(
    'The same key and body within 24 hours does nothing more, and gives the same answer; another body is a 409.',
  ),
});

/** A single row that has a version: its ETag says which. */
export const hasVersion = ({ returns }: AnyDefinition): boolean =>
  'one' in returns && 'updated_at' in ((returns.one as z.ZodObject).shape ?? {});

/** What doesn't change for who holds it: a row, or a file that is told apart. */
export const hasEtag = (definition: AnyDefinition): boolean =>
  hasVersion(definition) || ('file' in definition.returns && definition.returns.has_etag === true);

/** A database is read at all, and may be read as of a bookmark. */
const isOfTenant = ({ needs }: AnyDefinition) => needs !== 'platform';
const showsBookmark = (definition: AnyDefinition) =>
  isOfTenant(definition) && !('html' in definition.returns) && !('socket' in definition.returns);

export function describeRequestHeaders(definition: AnyDefinition, method: string): z.ZodObject {
  const { needs, idempotency } = definition;
  return z.object({
    ...(needs === 'bridge' ? OF_BRIDGE : needs === 'platform' ? {} : TENANT),
    ...(method === 'get' && showsBookmark(definition) && BOOKMARK),
    ...(method === 'get' && hasEtag(definition) && IF_NONE_MATCH),
    ...((method === 'put' || method === 'patch') && hasVersion(definition) && IF_MATCH),
    ...(idempotency && keyHeader(idempotency.key)),
    ...REQUEST_ID,
  });
}

const header = (description: string) => ({ description, schema: { type: 'string' } }) as const;

/** Components of the document, by name. */
export const ANSWER_HEADERS = {
  'X-Request-Id': header('Names the request in the log and the audit log.'),
  'X-D1-Bookmark': header('Hand it in with what you read next: it is read no older than this.'),
  ETag: header('The row’s version and a hash of what is shown of it.'),
  'Idempotent-Replayed': header('`true`: nothing was done now, this is the answer of the first time.'),
  'Retry-After': header('Seconds after which it may be tried again.'),
  RateLimit: header('How much of the limit is left, and for how many seconds: `"user";r=0;t=17`.'),
  'RateLimit-Policy': header('The limit, and in how many seconds: `"user";q=100;w=60`.'),
} as const;

type AnswerHeader = keyof typeof ANSWER_HEADERS;

const refer = (names: AnswerHeader[]) =>
  Object.fromEntries(names.map(name => [name, { $ref: `#/components/headers/${name}` }]));

const ALWAYS: AnswerHeader[] = ['X-Request-Id', 'RateLimit', 'RateLimit-Policy'];

export const describeAnswerHeaders = (definition: AnyDefinition) => {
  const some: Partial<Record<AnswerHeader, boolean>> = {
    'X-D1-Bookmark': showsBookmark(definition),
    ETag: hasEtag(definition),
    'Idempotent-Replayed': definition.idempotency !== undefined,
  };
  return refer([...ALWAYS, ...(Object.keys(some) as AnswerHeader[]).filter(name => some[name])]);
};

export const describeRefusalHeaders = (status: number) =>
  refer([...ALWAYS, ...(status === 429 ? ['Retry-After' as const] : [])]);
