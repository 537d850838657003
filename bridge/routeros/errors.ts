export type RouterErrorKind = 'unreachable' | 'login' | 'trap' | 'timeout' | 'lost' | 'protocol' | 'tls';

/** Why a router did not do what it was asked. The message may be shown to people: it holds no password. */
export class RouterError extends Error {
  readonly kind: RouterErrorKind;
  /** The router's own category of a trap, where it gave one. */
  readonly category: number | null;
  /** A write was sent and its answer never came: read back before anything else. */
  readonly outcome_unknown: boolean;

  constructor(
    kind: RouterErrorKind,
    message: string,
    details: { category?: number | null; outcome_unknown?: boolean } = {},
  ) {
    super(message);
    this.name = 'RouterError';
    this.kind = kind;
    this.category = details.category ?? null;
    this.outcome_unknown = details.outcome_unknown ?? false;
  }
}

/** Texts of routers that hold no value of ours, so that a password `secret` doesn't make holes in them. */
const FIXED_TEXTS =
  /^(?:failure: )?(?:(?:secret|profile|queue|user) with the same name already exists|pool with such name exists|already have .*|no such (?:item|command)(?: \(\d+\)| prefix)?|not enough permissions(?: \(\d+\))?|invalid user name or password(?: \(\d+\))?|cannot log in|input does not match any value of [a-z-]+|invalid value for argument [a-z-]+|unknown parameter [a-z0-9.-]+|interrupted)$/;

/** Takes secrets out of a text that came from elsewhere. */
export function hideSecrets(text: string, secrets: readonly string[]): string {
  if (FIXED_TEXTS.test(text)) return text;
  let hidden = text;
  for (const secret of secrets) if (secret !== '') hidden = hidden.replaceAll(secret, '***');
  return hidden;
}

/** Why a socket failed. Where several addresses were tried, Node's own message is empty. */
export function describeSocketError(error: unknown): string {
  if (error instanceof AggregateError) return describeSocketError(error.errors[0]);
  return error instanceof Error ? error.message : 'unknown error';
}
