import type { Suspicion } from '../durable-objects/rate-limiter/suspicion.ts';

/** The error catalogue: code → status → default message. Every refusal of the API is one of these. */
export const ERRORS = {
  VALIDATION_ERROR: { status: 400, message: 'Something in the request does not fit; see details.' },
  UNAUTHORIZED: { status: 401, message: 'Sign in first: no token, or one that is bad, expired or revoked.' },
  FORBIDDEN: { status: 403, message: 'Your role may not do this.' },
  TENANT_SUSPENDED: { status: 403, message: 'This provider’s account is not active.' },
  TENANT_MISMATCH: { status: 403, message: 'Token, X-Tenant-ID and subdomain do not name the same provider.' },
  NOT_FOUND: { status: 404, message: 'There is no such thing here.' },
  DUPLICATE_ENTRY: { status: 409, message: 'That value is taken.' },
  INVALID_TRANSITION: { status: 409, message: 'The present status does not allow this.' },
  IN_USE: { status: 409, message: 'Others depend on it.' },
  CONFLICT: { status: 409, message: 'Somebody changed it in the meantime; read it again.' },
  PAYLOAD_TOO_LARGE: { status: 413, message: 'The body is too large.' },
  UNSUPPORTED_MEDIA_TYPE: { status: 415, message: 'The body has the wrong content type.' },
  RATE_LIMIT: { status: 429, message: 'Too many requests; try again later.' },
  INTERNAL_ERROR: { status: 500, message: 'Something went wrong on our side.' },
  ROUTER_UNREACHABLE: { status: 502, message: 'The router did not answer.' },
  BRIDGE_OFFLINE: { status: 503, message: 'The bridge on the provider’s network did not answer.' },
  POOL_EMPTY: { status: 503, message: 'No free database is left for a new provider; try again later.' },
} as const;

export type ErrorCode = keyof typeof ERRORS;

/** A field's path → its complaints. */
export type ErrorDetails = Record<string, string[]>;

export class AppError extends Error {
  readonly code: ErrorCode;
  readonly details: ErrorDetails | undefined;
  readonly headers: Record<string, string>;
  /**
   * Suspicious when it comes often from one address; `about` tells what was tried, so that the same isn't counted twice; all
   * that is kept of it is a hash.
   */
  suspicion: { kind: Suspicion; about: string | null } | null = null;
  /** It says nothing of who asks, though others of its code may. */
  is_harmless = false;

  constructor(code: ErrorCode, message?: string, details?: ErrorDetails, headers: Record<string, string> = {}) {
    super(message ?? ERRORS[code].message);
    this.code = code;
    this.details = details;
    this.headers = headers;
  }

  suspect(kind: Suspicion, about: string | null = null): this {
    this.suspicion = { kind, about };
    return this;
  }

  harmless(): this {
    this.is_harmless = true;
    return this;
  }

  get status(): (typeof ERRORS)[ErrorCode]['status'] {
    return ERRORS[this.code].status;
  }
}

/** A fault of ours in words of ours: they hold no value that anybody gave us, so that the log may have them. */
export class Fault extends Error {}

/** No row has that id. */
export const notFound = (what: string) => new AppError('NOT_FOUND', `There is no such ${what}.`);
/** The row is there, and lacks what it may have: nobody guesses ids by asking for that. */
export const lacks = (what: string) => notFound(what).harmless();
export const invalidField = (field: string, complaint: string) =>
  new AppError('VALIDATION_ERROR', undefined, { [field]: [complaint] });

class Duplicate extends AppError {
  readonly field: string;

  constructor(field: string) {
    super('DUPLICATE_ENTRY', `That ${field} is taken.`, { [field]: ['is taken'] });
    this.field = field;
  }
}
export const duplicate = (field: string): AppError => new Duplicate(field);

/** The unique index says so: nobody had looked, or it was free then. */
export class TakenMeanwhile extends Duplicate {}

export const invalidTransition = (message: string) => new AppError('INVALID_TRANSITION', message);
export const inUse = (message: string) => new AppError('IN_USE', message);
export const unauthorized = (message?: string) => new AppError('UNAUTHORIZED', message);

/**
 * What the database refused, in the catalogue's words. A race that slipped past a check of ours ends here:
 * the unique index or foreign key is the guard, this only translates it.
 */
export function fromDatabaseError(error: unknown): AppError | null {
  const text = errorText(error);
  const unique = /UNIQUE constraint failed: ((?:\w+\.\w+(?:, )?)+)/.exec(text);
  if (unique) {
    const fields = unique[1]!.split(', ').map(name => name.split('.')[1]!);
    return new TakenMeanwhile(fields.at(-1)!);
  }
  if (/FOREIGN KEY constraint failed/.test(text)) return inUse('Others depend on it, or what it names is gone.');
  return null;
}

/** An error's message with those of its causes: drizzle wraps what D1 said. */
export function errorText(error: unknown): string {
  const parts: string[] = [];
  for (let at: unknown = error; at instanceof Error && parts.length < 5; at = at.cause) parts.push(at.message);
  return parts.join('\n');
}
