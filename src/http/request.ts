import { zValidator } from '@hono/zod-validator';
import type { MiddlewareHandler } from 'hono';
import { createMiddleware } from 'hono/factory';
import { z } from 'zod';
import { AppError } from '../errors.ts';
import type { AnyDefinition, App, HonoCtx } from './definition.ts';

/** What is looked at in a request: path, content type, length, JSON, and how a complaint names its field. */

export const MOST_BODY_BYTES = 1024 * 1024;
export const CONTENT_TYPES = {
  json: /^application\/json\s*(;|$)/i,
  text: /^text\/plain\s*(;|$)/i,
  form: /^application\/x-www-form-urlencoded\s*(;|$)/i,
  multipart: /^multipart\/form-data\s*;/i,
};

/** A body of which every field is optional needn't be sent: `POST /customers/:id/activate`. */
export const mayBeAbsent = ({ body, accepts = 'json' }: AnyDefinition): boolean =>
  accepts === 'json' && body !== undefined && body.safeParse({}).success;

export function checkBody(definition: AnyDefinition): MiddlewareHandler<App>[] {
  const { body, accepts = 'json', most_bytes = MOST_BODY_BYTES } = definition;
  if (!body) return [];
  const may_be_absent = mayBeAbsent(definition);
  const guard = createMiddleware<App>(async (c, next) => {
    const bytes = await readLimited(c, most_bytes);
    // clients that send an empty body with or without a content type mean the same: nothing
    const absent = may_be_absent && bytes.byteLength === 0;
    replaceBody(c, absent ? '{}' : bytes, absent ? 'application/json' : undefined);
    if (!CONTENT_TYPES[accepts].test(c.req.header('content-type') ?? '')) throw new AppError('UNSUPPORTED_MEDIA_TYPE');
    if (accepts === 'json') await parseJson(c);
    await next();
  });
  return accepts === 'json' ? [guard, zValidator('json', body, refuse) as MiddlewareHandler<App>] : [guard];
}

async function parseJson(c: HonoCtx): Promise<void> {
  try {
    await c.req.json();
  } catch {
    throw new AppError('VALIDATION_ERROR', 'The body is not JSON.', { body: ['is not JSON'] });
  }
}

/** Reads the body no further than it may be long. */
export async function readLimited(c: HonoCtx, most_bytes: number): Promise<ArrayBuffer> {
  if (Number(c.req.header('content-length') ?? 0) > most_bytes) throw new AppError('PAYLOAD_TOO_LARGE');
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of (c.req.raw.body ?? []) as AsyncIterable<Uint8Array>) {
    length += chunk.length;
    if (length > most_bytes) throw new AppError('PAYLOAD_TOO_LARGE');
    chunks.push(chunk);
  }
  return new Blob(chunks).arrayBuffer();
}

/** The request as it goes on, once its body was read. */
export function replaceBody(c: HonoCtx, body: ArrayBuffer | string, content_type?: string): void {
  const headers = new Headers(c.req.raw.headers);
  if (content_type) headers.set('content-type', content_type);
  c.req.raw = new Request(c.req.raw.url, { method: c.req.method, headers, body });
}

interface Refusal {
  success: boolean;
  error?: { issues: readonly z.core.$ZodIssue[] };
}

export function refuse(result: Refusal): void {
  if (!result.success) throw validationError(result.error!.issues);
}

/** A field's path → its complaints; an unknown field is named itself. */
export function validationError(issues: readonly z.core.$ZodIssue[]): AppError {
  const details: Record<string, string[]> = Object.create(null) as Record<string, string[]>;
  for (const issue of issues) {
    const path = issue.path.map(String);
    if (issue.code === 'unrecognized_keys')
      for (const key of issue.keys) (details[[...path, key].join('.')] ??= []).push('is unknown');
    else (details[path.join('.') || 'body'] ??= []).push(isMissing(issue) ? 'is required' : issue.message);
  }
  return new AppError('VALIDATION_ERROR', undefined, details);
}

const isMissing = (issue: z.core.$ZodIssue) =>
  issue.code === 'invalid_type' && issue.message.endsWith('received undefined');

/** `:id` is a UUID wherever it stands; other parameters are declared by the endpoint. */
export function pathParams(path: string): z.ZodObject | null {
  const names = [...path.matchAll(/:(\w+)/g)].map(match => match[1]!);
  return names.length === 0 ? null : z.strictObject(Object.fromEntries(names.map(name => [name, z.uuid()])));
}

/** Bodies that aren't JSON are validated once they are read. */
export async function readRawBody(c: HonoCtx, definition: AnyDefinition): Promise<unknown> {
  const raw = definition.accepts === 'text' ? decodeText(await c.req.arrayBuffer()) : await readForm(c);
  const result = await definition.body!.safeParseAsync(raw);
  if (!result.success) throw validationError(result.error.issues);
  return result.data;
}

/** Files from routers are UTF-8, or else of an old code page: never an error. */
function decodeText(bytes: ArrayBuffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: false }).decode(bytes);
  } catch {
    return new TextDecoder('windows-1252').decode(bytes);
  }
}

async function readForm(c: HonoCtx): Promise<Record<string, unknown>> {
  try {
    return await c.req.parseBody();
  } catch {
    throw new AppError('VALIDATION_ERROR', 'The body is not a form.', { body: ['is not a form'] });
  }
}
