import { RouterError } from '../routeros/errors.ts';
import type { BridgeError, RouterAccess } from '../../src/protocol/messages.ts';

type FailureCode = BridgeError['error']['code'];

const STATUSES: Readonly<Record<FailureCode, number>> = {
  INVALID_MESSAGE: 400,
  BAD_SIGNATURE: 401,
  NOT_FOUND: 404,
  STALE_REVISION: 409,
  INTERNAL_ERROR: 500,
  ROUTER_UNREACHABLE: 502,
  ROUTER_REFUSED: 502,
  ROUTER_BUSY: 503,
};

/** Why a whole request fails. Its message goes to people: no secret in it. */
export class BridgeFailure extends Error {
  readonly code: FailureCode;

  constructor(code: FailureCode, message: string) {
    super(message);
    this.code = code;
  }

  get status(): number {
    return STATUSES[this.code];
  }
}

/** A router's own no to one command: definite, and no reason to doubt the connection. */
export function isRefusal(error: unknown): error is RouterError {
  if (!(error instanceof RouterError)) return false;
  // the connection won't send a word that is too long: nothing happened either
  return error.kind === 'trap' || (error.kind === 'protocol' && error.message.includes("can't be sent"));
}

/** The row had gone already. */
export function isMissing(error: RouterError): boolean {
  return error.kind === 'trap' && /^no such item\b/.test(error.message);
}

/** What went wrong with a router, in words for people; anything else is passed on as it is. */
export function explainRouterError(error: unknown, router: RouterAccess): unknown {
  if (!(error instanceof RouterError)) return error;
  const place = `${router.host}:${router.port}`;
  if (error.kind === 'login') {
    return new BridgeFailure('ROUTER_REFUSED', `the router at ${place} refused the sign-in: ${error.message}`);
  }
  if (error.kind === 'trap') {
    return new BridgeFailure('ROUTER_REFUSED', `the router at ${place} can't be read: ${error.message}`);
  }
  return new BridgeFailure('ROUTER_UNREACHABLE', `the router at ${place} can't be reached: ${error.message}`);
}
