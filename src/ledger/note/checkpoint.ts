/**
 * Checkpoints (C2SP tlog-checkpoint, https://c2sp.org/tlog-checkpoint): a signed note of three lines, the log's name
 * (origin), its size in decimal, and its root in base64. This log has no extension lines, and takes none.
 */
import { HASH_BYTES } from '../../numeric/merkle.ts';
import { decodeBase64, encodeBase64, type VerifierKey, WITNESS_KEY } from './key.ts';
import { verifyNote } from './note.ts';

export interface CheckpointBody {
  readonly origin: string;
  /** 0..2^64-1. */
  readonly size: bigint;
  /** 32 bytes. */
  readonly root: Uint8Array;
}

const SIZE_MAX = 2n ** 64n - 1n;

/** The text that is signed. */
export function checkpointText({ origin, size, root }: CheckpointBody): string {
  return `${origin}\n${size}\n${encodeBase64(root)}\n`;
}

/** Reads the text; undefined for anything that `checkpointText` does not write. */
export function parseCheckpoint(text: string): CheckpointBody | undefined {
  const [origin, sizeText, rootText, end, ...more] = text.split('\n');
  if (!origin || sizeText === undefined || rootText === undefined || end !== '' || more.length > 0)
    return undefined;
  if (!/^(0|[1-9]\d{0,19})$/.test(sizeText)) return undefined;
  const size = BigInt(sizeText);
  const root = decodeBase64(rootText);
  if (size > SIZE_MAX || root?.length !== HASH_BYTES) return undefined;
  return { origin, size, root };
}

export type CheckpointVerdict =
  /** `witnesses`: how many of the trusted witnesses have cosigned. */
  | { readonly valid: true; readonly checkpoint: CheckpointBody; readonly witnesses: number }
  | {
      readonly valid: false;
      readonly because: 'MALFORMED' | 'SIGNATURE_INVALID' | 'NOT_SIGNED' | 'TOO_FEW_WITNESSES';
    };

/**
 * Verifies a checkpoint offline against keys that are trusted: one whose name is the checkpoint's origin must have
 * signed it, and at least `witnessesMin` of those of type 0x04 must have cosigned.
 */
export function verifyCheckpoint(
  note: string,
  trusted: readonly VerifierKey[],
  witnessesMin = 0,
): CheckpointVerdict {
  const verdict = verifyNote(note, trusted);
  if (!verdict.valid) return verdict;
  const checkpoint = parseCheckpoint(verdict.note.text);
  if (checkpoint === undefined) return { valid: false, because: 'MALFORMED' };
  const isLog = (key: VerifierKey) => key.type !== WITNESS_KEY && key.name === checkpoint.origin;
  if (!verdict.signers.some(isLog)) return { valid: false, because: 'NOT_SIGNED' };
  const witnesses = new Set(
    verdict.signers.filter(({ type }) => type === WITNESS_KEY).map(({ name }) => name),
  ).size;
  if (witnesses < witnessesMin) return { valid: false, because: 'TOO_FEW_WITNESSES' };
  return { valid: true, checkpoint, witnesses };
}
