import { compactDecrypt, importJWK } from 'jose';
import type { BridgeConfig } from '../config.ts';
import { SealedPart } from '../../src/protocol/messages.ts';
import { BridgeFailure } from './failure.ts';

export type OpenSealed = (sealed: string) => Promise<SealedPart>;

/** The opener for what was sealed to a key of this bridge. Its failures say nothing of what was inside. */
export function makeSealedOpener(keys: { open(sealed: string): Promise<{ value: unknown } | null> }): OpenSealed {
  return async sealed => {
    const opened = await keys.open(sealed);
    if (!opened) throw new BridgeFailure('INVALID_MESSAGE', "the sealed part isn't for this bridge's key: enrol again");
    const part = SealedPart.safeParse(opened.value);
    if (!part.success) throw new BridgeFailure('INVALID_MESSAGE', 'the sealed part is not what the bridge expects');
    return part.data;
  };
}

/** Null where it was sealed to another key or is damaged. */
export async function makeOpener(private_key: BridgeConfig['private_key']) {
  const key = await importJWK({ ...private_key }, 'ECDH-ES');
  return async (sealed: string): Promise<{ value: unknown } | null> => {
    const opened = await compactDecrypt(sealed, key, {
      keyManagementAlgorithms: ['ECDH-ES'],
      contentEncryptionAlgorithms: ['A256GCM'],
    }).catch(() => null);
    return opened && { value: parseJson(opened.plaintext) };
  };
}

function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(bytes)) as unknown;
  } catch {
    return null;
  }
}
