import { createHash } from 'node:crypto';
import { RouterError } from './errors.ts';

/** What a `!done` carried. */
export type Attributes = ReadonlyMap<string, string>;

/** Before 6.43: md5 over a zero byte, the password and the challenge. */
export function answerChallenge(password: string, challenge_hex: string): string {
  const hash = createHash('md5').update(Buffer.of(0)).update(password, 'utf8');
  return `00${hash.update(Buffer.from(challenge_hex, 'hex')).digest('hex')}`;
}

/** Signs in once, in the new way or, where the router sends a challenge, in the old one. Never tries again. */
export async function signIn(
  talk: (words: readonly string[]) => Promise<Attributes>,
  username: string,
  password: string,
): Promise<void> {
  const first = await talk(['/login', `=name=${username}`, `=password=${password}`]);
  const challenge = first.get('ret');
  if (challenge === undefined) return;
  if (!/^(?:[0-9a-f]{2})+$/i.test(challenge)) throw new RouterError('protocol', 'the login challenge is no hex text');
  const second = await talk(['/login', `=name=${username}`, `=response=${answerChallenge(password, challenge)}`]);
  if (second.has('ret')) throw new RouterError('login', 'the router answered its own challenge with another one');
}
