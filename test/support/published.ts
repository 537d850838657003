import { dereference, type Schema, validate } from '@cfworker/json-schema';
import type { Answer } from './world.ts';

/** What /openapi.json promises of an answer, and whether one keeps it: read as a stranger would, from the document alone. */

export interface PublishedAnswer {
  description: string;
  headers?: Record<string, unknown>;
  content?: Record<string, { schema: Schema }>;
}

export interface PublishedDocument {
  paths: Record<string, Record<string, PublishedOperation>>;
  components: { schemas: Record<string, Schema> };
}

interface PublishedOperation {
  operationId: string;
  parameters?: { name: string; in: string; required?: boolean }[];
  requestBody?: { content: Record<string, { schema: Schema }> };
  responses: Record<string, PublishedAnswer>;
}

interface Published {
  document: PublishedDocument;
  lookup: ReturnType<typeof dereference>;
}

let known: (Published & { text: string }) | null = null;

/** As it is served; what was made ready of it serves until another text comes. */
export function readPublished(text: string): Published {
  if (known?.text !== text) {
    const document = JSON.parse(text) as PublishedDocument;
    closeObjects(document);
    known = { text, document, lookup: dereference(document as unknown as Schema) };
  }
  return known;
}

/**
 * An answer holds what the document names and no more, unless it says so: clients may ignore what they don't know, but
 * a field that nobody declared is one that leaked.
 */
function closeObjects(node: unknown): void {
  if (typeof node !== 'object' || node === null) return;
  const { properties, allOf } = node as Schema;
  const is_schema = properties !== undefined && (node as Schema).type === 'object';
  if (is_schema && allOf === undefined) (node as Schema).additionalProperties ??= false;
  for (const each of Object.values(node)) closeObjects(each);
}

/** What an answer may carry beside its body. */
const CARRIED = ['X-Request-Id', 'X-D1-Bookmark', 'ETag', 'Idempotent-Replayed', 'Retry-After', 'RateLimit', 'RateLimit-Policy']; // prettier-ignore

/** What of an answer isn't as its route and status promise; null: all is. */
export function findBreach({ lookup }: Published, promised: PublishedAnswer, answer: Answer): string | null {
  const { content, headers = {} } = promised;
  const undeclared = CARRIED.filter(name => answer.headers.has(name) && !(name in headers));
  if (undeclared.length > 0) return `headers that the document doesn’t name: ${undeclared.join(', ')}`;
  if (answer.text === '') return null;
  const type = (answer.headers.get('content-type') ?? '').replace(/;.*/, '');
  const described = content?.[type];
  if (!described) return `the content type ${type}, which the document doesn’t name`;
  if (answer.status >= 400 && answer.error && !promised.description.includes(`${answer.error.code}: `))
    return `the code ${answer.error.code}, which the document doesn’t list`;
  if (type !== 'application/json') return null;
  const { valid, errors } = validate(JSON.parse(answer.text), described.schema, '2020-12', lookup);
  return valid ? null : `another body than the document’s: ${errors.map(each => `${each.instanceLocation} ${each.error}`).at(-1)}`; // prettier-ignore
}
