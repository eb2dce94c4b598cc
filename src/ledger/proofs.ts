/**
 * Reading the log. Nothing leaves here that was not verified now: an entry against the leaf it must hash to, the leaf
 * against the tree, a proof against the signed roots it leads to. While the tree is not what was signed, an entry is given
 * out only if the first checkpoint over it proves it.
 */

import type { AppError } from '../errors.ts';
import {
  consistencyProof,
  inclusionProof,
  sameHash,
  verifyConsistency,
  verifyInclusion,
} from '../numeric/merkle.ts';
import type { Damage, Finding } from './damage.ts';
import { ledgerError } from './errors.ts';
import type { Checkpoint, Checkpoints } from './note/checkpoints.ts';
import { type EntryFilter, findEntry, listEntries, type Reader } from './store.ts';
import { type Entry, entryFault } from './tree/entry.ts';
import type { Tree } from './tree/tree.ts';

/** Proof that an entry is in the log of a published size. */
export interface InclusionProof {
  readonly entry: Entry;
  /** Siblings from the leaf up. */
  readonly proof: readonly Uint8Array[];
  readonly checkpoint: Checkpoint;
}

/** Proof that the log of one published size is the beginning of that of another. */
export interface ConsistencyProof {
  readonly proof: readonly Uint8Array[];
  readonly first: Checkpoint;
  readonly second: Checkpoint;
}

/** Every function throws LEDGER_DAMAGED, naming the range, for what does not verify. */
export interface Proofs {
  /** Throws ENTRY_NOT_FOUND. */
  entry(index: number): Promise<Entry>;
  /** Entries in the order of their index. */
  entries(filter: EntryFilter): Promise<readonly Entry[]>;
  /** The checkpoint of a size, or the latest. Throws PROOF_RANGE for a size that was not published. */
  checkpoint(size: number | undefined): Promise<Checkpoint>;
  /** Throws PROOF_RANGE unless the size was published and is above the index. */
  inclusion(index: number, size: number | undefined): Promise<InclusionProof>;
  /** Throws PROOF_RANGE unless both sizes were published, 1 <= first <= second. */
  consistency(first: number, second: number | undefined): Promise<ConsistencyProof>;
}

export interface ProofDeps {
  readonly reader: Reader;
  readonly tree: Tree;
  readonly checkpoints: Checkpoints;
  readonly damage: Damage;
}

export function createProofs(deps: ProofDeps): Proofs {
  const { reader, tree, checkpoints } = deps;
  const checkpointOf = async (size: number | undefined): Promise<Checkpoint> => {
    const latest = checkpoints.latest();
    const found = size === undefined ? latest : await checkpoints.at(size);
    if (found === undefined) throw outOfRange(size ?? 0, latest);
    return found;
  };
  return {
    async entry(index) {
      const entry = await findEntry(reader, index);
      if (entry) return verifyEntry(deps, entry);
      const size = await tree.advance();
      if (index < size) throw deps.damage.found(missing(index));
      throw ledgerError('ENTRY_NOT_FOUND', { index, size });
    },
    async entries(filter) {
      const entries = await listEntries(reader, filter);
      if (filter.kind === '') refuseGap(deps, filter, entries);
      for (const entry of entries) await verifyEntry(deps, entry);
      return entries;
    },
    checkpoint: checkpointOf,
    async inclusion(index, size) {
      const checkpoint = await checkpointOf(size);
      if (index >= checkpoint.size) throw outOfRange(index, checkpoint);
      const entry = await findEntry(reader, index);
      if (entry === undefined) throw deps.damage.found(missing(index));
      return { entry, proof: await proveEntry(deps, entry, checkpoint), checkpoint };
    },
    async consistency(firstSize, secondSize) {
      const second = await checkpointOf(secondSize);
      const first = await checkpointOf(firstSize);
      if (first.size < 1 || first.size > second.size) throw outOfRange(firstSize, second);
      return { proof: await proveConsistency(deps, first, second), first, second };
    },
  };
}

function outOfRange(asked: number, latest: Checkpoint | undefined): AppError {
  return ledgerError('PROOF_RANGE', { asked, size: latest?.size ?? 0 });
}

function missing(index: number): Finding {
  return { start: index, end: index + 1, detail: 'an entry is missing' };
}

/** Entries that were asked for without a kind follow each other and reach as far as the tree does. */
function refuseGap({ tree, damage }: ProofDeps, { start, limit }: EntryFilter, entries: readonly Entry[]) {
  const expected = Math.max(entries.length, Math.min(limit, tree.size - start));
  for (let i = 0; i < expected; i++)
    if (entries[i]?.index !== start + i) throw damage.found(missing(start + i));
}

/** Throws unless the entry is the one in the tree. */
async function verifyEntry(deps: ProofDeps, entry: Entry): Promise<Entry> {
  const { tree, checkpoints } = deps;
  const { index } = entry;
  refuseFault(deps, entry);
  if (!tree.trusted) {
    const [cover] = await checkpoints.after(index, 1);
    if (cover === undefined) throw unproven(deps, index, index + 1);
    await proveEntry(deps, entry, cover);
    return entry;
  }
  if (index >= tree.size && (await tree.advance()) <= index) throw unproven(deps, tree.size, index + 1);
  await refuseOtherLeaf(deps, entry);
  return entry;
}

function refuseFault({ damage }: ProofDeps, entry: Entry): void {
  const { index } = entry;
  const fault = entryFault(entry);
  if (fault !== undefined) throw damage.found({ start: index, end: index + 1, detail: fault });
}

async function refuseOtherLeaf({ tree, damage }: ProofDeps, { index, leafHash }: Entry): Promise<void> {
  const found = tree.lookup(0, index);
  const inTree = found instanceof Uint8Array ? found : await found;
  if (sameHash(inTree, leafHash)) return;
  throw damage.found({ start: index, end: index + 1, detail: 'the leaf is not the one in the tree' });
}

async function proveEntry(deps: ProofDeps, entry: Entry, { size, root }: Checkpoint): Promise<Uint8Array[]> {
  const { index, leafHash } = entry;
  refuseFault(deps, entry);
  await reach(deps, size);
  const proof = await inclusionProof(index, size, deps.tree.lookup);
  if (verifyInclusion({ index: BigInt(index), size: BigInt(size), leafHash, proof, root })) return proof;
  if (deps.tree.trusted) await refuseOtherLeaf(deps, entry);
  throw unproven(deps, 0, size);
}

async function proveConsistency(deps: ProofDeps, first: Checkpoint, second: Checkpoint) {
  await reach(deps, second.size);
  const proof = await consistencyProof(first.size, second.size, deps.tree.lookup);
  const holds = verifyConsistency({
    firstSize: BigInt(first.size),
    secondSize: BigInt(second.size),
    firstRoot: first.root,
    secondRoot: second.root,
    proof,
  });
  if (!holds) throw unproven(deps, 0, second.size);
  return proof;
}

/** Lets the tree grow to a published size. */
async function reach(deps: ProofDeps, size: number): Promise<void> {
  const { tree } = deps;
  if (tree.size < size && (await tree.advance()) < size) throw unproven(deps, tree.size, size);
}

/** For what does not verify as a whole: names the damage that is known already, else all that it may be in. */
function unproven({ damage }: ProofDeps, start: number, end: number): AppError {
  const known = damage.range();
  if (known) return ledgerError('LEDGER_DAMAGED', { start: known.start, end: known.end });
  return damage.found({ start, end, detail: 'the tree does not lead to the signed root' });
}
