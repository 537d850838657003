import { Secret, TOTP } from 'otpauth';

/** Codes of an authenticator app (RFC 6238: SHA-1, six digits, 30 seconds), and those for who has lost it. */

const STEP_SECONDS = 30;

export const makeTotpSecret = (): string => new Secret({ size: 20 }).base32;

const totpOf = (secret: string, names: { issuer?: string; label?: string } = {}) =>
  new TOTP({ ...names, secret: Secret.fromBase32(secret), algorithm: 'SHA1', digits: 6, period: STEP_SECONDS });

/** What an authenticator app reads from a QR code. */
export const describeTotp = (secret: string, issuer: string, label: string): string =>
  totpOf(secret, { issuer, label }).toString();

/** The time step that a code is of, at most one beside the present one; null when it is of none. `now`: epoch ms. */
export function findTotpStep(secret: string, code: string, now: number): number | null {
  const delta = totpOf(secret).validate({ token: code, timestamp: now, window: 1 });
  return delta === null ? null : Math.floor(now / 1000 / STEP_SECONDS) + delta;
}

export const TOTP_CODE = /^\d{6}$/;
export const RECOVERY_CODE = /^[A-Z2-7]{4}(-[A-Z2-7]{4}){3}$/;

export const RECOVERY_CODES = 10;

/** 80 random bits, as people copy them: `K7QD-22MN-XJ4A-PW5C`. */
export const makeRecoveryCode = (): string => new Secret({ size: 10 }).base32.match(/.{4}/g)!.join('-');
