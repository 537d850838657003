import bcrypt from 'bcryptjs';

/**
 * Stored as `<scheme>:<bcrypt string>`. `bcrypt72`: bcrypt of the password, or of its SHA-256 when it is longer than
 * the 72 bytes that bcrypt sees. A hash of another cost is made anew at the next sign-in. There is one scheme so far: a
 * second one is checked beside it, and what is of the first is then outdated.
 */
const SCHEME = 'bcrypt72';

export const PASSWORD_LENGTH = { min: 10, max: 200 };

const COMMON = new Set(
  `1234567890 12345678910 0123456789 9876543210 1111111111 0000000000 1q2w3e4r5t 1qaz2wsx3edc qwertyuiop qwerty1234
  qwerty12345 qwerty123456 asdfghjkl1 password12 password123 password1234 password12345 passw0rd123 p@ssw0rd123
  p@ssword123 iloveyou12 iloveyou123 adminadmin admin12345 admin123456 administrator rahasia123 rahasia1234
  rahasia12345 sayangkamu bismillah1 bismillah123 indonesia1 indonesia123 mikrotik123 mikrotik1234 internet123
  welcome123 welcome1234 changeme123 letmein1234 1234567890a abcdefghij abcd123456 abc1234567 q1w2e3r4t5 superadmin
  superadmin1 katasandi1 katasandi123 anjing12345 cintaku123 terserah123 sayang12345 jakarta123`.split(/\s+/),
);

/** Why a password isn't good enough, or null. */
export function findPasswordFault(password: string, email: string): string | null {
  const folded = password.toLowerCase();
  if (COMMON.has(folded) || /^(.)\1+$/u.test(password)) return 'is one of the common passwords';
  if (folded === email.toLowerCase() || folded === email.toLowerCase().split('@')[0]) return 'is the e-mail address';
  return null;
}

async function bytesForBcrypt(password: string): Promise<string> {
  const bytes = new TextEncoder().encode(password);
  if (bytes.length <= 72) return password;
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
  return btoa(String.fromCharCode(...digest));
}

export async function hashPassword(password: string, cost: number): Promise<string> {
  return `${SCHEME}:${await bcrypt.hash(await bytesForBcrypt(password), cost)}`;
}

export interface PasswordCheck {
  ok: boolean;
  /** The stored hash is of another cost. */
  outdated: boolean;
}

/** Checks against a stored hash. Without one (no such user) it does the same work, so that time tells nothing. */
export async function checkPassword(password: string, stored: string | null, cost: number): Promise<PasswordCheck> {
  if (stored === null) {
    await hashPassword(password, cost);
    return { ok: false, outdated: false };
  }
  const [scheme, hash = ''] = stored.split(/:(.*)/s);
  if (scheme !== SCHEME) throw new Error('a password hash of an unknown scheme');
  const ok = await bcrypt.compare(await bytesForBcrypt(password), hash);
  return { ok, outdated: ok && bcrypt.getRounds(hash) !== cost };
}
