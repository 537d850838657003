import { randomBytes } from 'node:crypto';
import { exportJWK, generateKeyPair } from 'jose';

/** The Worker's secrets, freshly made: as they stand in its environment. */
export interface Secrets {
  TOKEN_KEYS: string;
  SEALING_KEYS: string;
}

const makeKid = () => randomBytes(6).toString('hex');

export async function makeSecrets(): Promise<Secrets> {
  const { privateKey } = await generateKeyPair('RS256', { extractable: true, modulusLength: 2048 });
  const token_key = { ...(await exportJWK(privateKey)), kid: makeKid(), alg: 'RS256', use: 'sig' };
  const sealing_key = { kid: makeKid(), key: randomBytes(32).toString('base64') };
  return { TOKEN_KEYS: JSON.stringify([token_key]), SEALING_KEYS: JSON.stringify([sealing_key]) };
}

/** `npm run keys`: prints them, for `wrangler secret bulk`. */
if (import.meta.main) process.stdout.write(`${JSON.stringify(await makeSecrets(), null, 2)}\n`);
