/** A witness as others run them (C2SP tlog-cosignature): an Ed25519 key of type 0x04 and its signature lines. */
import { createHash, createPrivateKey, createPublicKey, sign } from 'node:crypto';
import { parseVerifierKey, type VerifierKey } from '../../src/ledger/note/key.ts';

export interface Witness {
  readonly key: VerifierKey;
  /** The line under a checkpoint's text. `statedSeconds`: what the line says where that is not what was signed. */
  cosign(text: string, seconds: number, statedSeconds?: number): string;
}

export function createWitness(name: string, seed: Uint8Array): Witness {
  const der = Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), seed]);
  const privateKey = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
  const raw = Buffer.from(createPublicKey(privateKey).export({ format: 'jwk' }).x!, 'base64url');
  const typed = Buffer.concat([Buffer.from([4]), raw]);
  const id = createHash('sha256')
    .update(Buffer.concat([Buffer.from(`${name}\n`), typed]))
    .digest()
    .subarray(0, 4);
  return {
    key: parseVerifierKey(`${name}+${id.toString('hex')}+${typed.toString('base64')}`)!,
    cosign(text, seconds, statedSeconds = seconds) {
      const time = Buffer.alloc(8);
      time.writeBigUInt64BE(BigInt(statedSeconds));
      const signature = sign(null, Buffer.from(`cosignature/v1\ntime ${seconds}\n${text}`), privateKey);
      return `\u2014 ${name} ${Buffer.concat([id, time, signature]).toString('base64')}`;
    },
  };
}
