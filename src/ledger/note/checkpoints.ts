/**
 * Published checkpoints. A row is believed when its digest and its signature hold and it names this log; what was
 * believed once is kept for a while, since rows never change. The latest is in memory. Whether the tree leads to a
 * checkpoint's root is not asked here: every proof is checked against it.
 */
import type { MessageInitShape } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import type { CheckpointSchema } from '../../gen/homeostat/type/v1/ledger_pb.ts';
import { sameHash } from '../../numeric/merkle.ts';
import type { Damage } from '../damage.ts';
import type { Reader } from '../store.ts';
import { checkpointText, verifyCheckpoint } from './checkpoint.ts';
import {
  type CheckpointRow,
  type CosignatureRow,
  findCheckpoint,
  listCheckpointsAfter,
  listCosignatures,
  listLatestCheckpoints,
  rowDigest,
} from './checkpoint-store.ts';
import { parseWitness, type VerifierKey } from './key.ts';
import { formatNote, parseNote, parseSignature, signatureHolds } from './note.ts';
import type { NoteSigner } from './signer.ts';

export interface Checkpoint {
  readonly size: number;
  readonly root: Uint8Array;
  /** With the log's own signature alone. */
  readonly note: string;
  readonly signedAtMs: number;
}

/** Checkpoints kept in memory. */
const KEPT = 256;
/** Rows looked at for the latest that can be believed. */
const LATEST_ROWS = 16;

export interface Checkpoints {
  /** The latest that this server knows of; undefined before the first. */
  latest(): Checkpoint | undefined;
  /** The one of a size; undefined when that was not published. Throws LEDGER_DAMAGED. */
  at(size: number): Promise<Checkpoint | undefined>;
  /** Those of sizes above `size`, smallest first, at most `limit`. Throws LEDGER_DAMAGED. */
  after(size: number, limit: number): Promise<readonly Checkpoint[]>;
  /** Signs a size and root that were verified. */
  sign(size: number, root: Uint8Array, signedAtMs: number): CheckpointRow;
  /** Reads the latest that is stored and takes it over. Throws LEDGER_DAMAGED, then the last good one stands. */
  refresh(): Promise<Checkpoint | undefined>;
  /** The note with the lines of witnesses. Throws LEDGER_DAMAGED for a line that does not hold. */
  cosigned(checkpoint: Checkpoint): Promise<string>;
  /** Calls back whenever the latest changes, until cancelled. */
  onLatest(callback: () => void): { cancel(): void };
}

export interface CheckpointDeps {
  readonly reader: Reader;
  readonly signer: NoteSigner;
  readonly damage: Pick<Damage, 'found'>;
}

export function createCheckpoints({ reader, signer, damage }: CheckpointDeps): Checkpoints {
  const believed = new Map<number, Checkpoint>();
  const listeners = new Set<() => void>();
  let latest: Checkpoint | undefined;

  const believe = (row: CheckpointRow): Checkpoint => {
    const known = believed.get(row.tree_size);
    if (known) return known;
    const checkpoint = readCheckpoint(row, signer.verifier);
    if (checkpoint === undefined) throw damage.found(checkpointDamage(row.tree_size));
    if (believed.size >= KEPT) believed.delete(believed.keys().next().value!);
    believed.set(row.tree_size, checkpoint);
    return checkpoint;
  };
  const takeOver = (checkpoint: Checkpoint) => {
    if (latest && checkpoint.size <= latest.size) return;
    latest = checkpoint;
    for (const listener of listeners) listener();
  };
  return {
    latest: () => latest,
    async at(size) {
      const known = believed.get(size);
      if (known) return known;
      const row = await findCheckpoint(reader, size);
      return row && believe(row);
    },
    async after(size, limit) {
      return (await listCheckpointsAfter(reader, size, limit)).map(believe);
    },
    sign(size, root, signedAtMs) {
      const text = checkpointText({ origin: signer.verifier.name, size: BigInt(size), root });
      const row = {
        tree_size: size,
        note: formatNote(text, [signer.sign(text)]),
        signed_at_ms: Math.floor(signedAtMs),
      };
      return { ...row, digest: rowDigest(row) };
    },
    async refresh() {
      const [known] = await listLatestCheckpoints(reader, 1);
      if (known === undefined || known.tree_size <= (latest?.size ?? -1)) return latest;
      // Another server may have published meanwhile: from here on these rows alone count.
      const rows = await listLatestCheckpoints(reader, LATEST_ROWS);
      const newest = rows[0]!;
      const good = rows
        .map((row) => readCheckpoint(row, signer.verifier))
        .find((checkpoint) => checkpoint !== undefined);
      if (good) takeOver(good);
      if (good?.size !== newest.tree_size) throw damage.found(checkpointDamage(newest.tree_size));
      return latest;
    },
    async cosigned({ size, note }) {
      const rows = await listCosignatures(reader, size);
      if (rows.some((row) => !cosignatureHolds(note, row))) throw damage.found(checkpointDamage(size));
      return note + rows.map(({ line }) => `${line}\n`).join('');
    },
    onLatest(callback) {
      listeners.add(callback);
      return { cancel: () => listeners.delete(callback) };
    },
  };
}

/** What is wrong when a checkpoint's row cannot be believed: nothing proves the entries it was about. */
export function checkpointDamage(size: number) {
  return { start: 0, end: size, detail: `the checkpoint of size ${size} is not what was signed` };
}

/** Reads a row; undefined when it is not what was signed. Cost: one Ed25519 verification. */
export function readCheckpoint(row: CheckpointRow, log: VerifierKey): Checkpoint | undefined {
  if (!sameHash(rowDigest(row), row.digest)) return undefined;
  const verdict = verifyCheckpoint(row.note, [log]);
  if (!verdict.valid || verdict.checkpoint.size !== BigInt(row.tree_size)) return undefined;
  const { root } = verdict.checkpoint;
  return { size: row.tree_size, root, note: row.note, signedAtMs: row.signed_at_ms };
}

/** Whether a stored line is by the key stored with it, and holds for the note. */
export function cosignatureHolds(note: string, { vkey, line }: CosignatureRow): boolean {
  const key = parseWitness(vkey);
  const signature = parseSignature(line);
  const text = parseNote(note)?.text;
  return !!key && !!signature && text !== undefined && signatureHolds(text, signature, key);
}

/** A checkpoint as messages carry it. */
export function checkpointToProto(
  { size, root, signedAtMs }: Checkpoint,
  note: string,
): MessageInitShape<typeof CheckpointSchema> {
  return { treeSize: BigInt(size), root, note, signedAt: timestampFromMs(signedAtMs) };
}
