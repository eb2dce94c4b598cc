/**
 * Where keys, tokens and ids get their randomness: the operating system's generator, and nothing else. Tests replace
 * the port. Everything that must replay from a seed uses `random.ts` instead.
 */
import { randomBytes } from 'node:crypto';

export interface Secrets {
  /** `count` unpredictable bytes in an array that is the caller's. */
  bytes(count: number): Uint8Array;
}

export const systemSecrets: Secrets = {
  bytes: (count) => new Uint8Array(randomBytes(count)),
};
