/**
 * Merkle trees of RFC 6962, section 2.1: a leaf hashes to SHA-256(0x00 + data), a node to SHA-256(0x01 + left + right),
 * n > 1 leaves split at the largest power of two below n, and no leaves hash to SHA-256 of nothing. Proofs are made from
 * perfect subtrees, which never change once the tree has grown over them; whoever keeps them hands in a lookup. A level
 * counts from the leaves (0); the subtree of `level` at `index` has the leaves from index * 2^level up to (but without)
 * (index + 1) * 2^level. Makers take sizes up to 2^53 - 1, verifiers up to 2^64 - 1. Hashes are 32 bytes and borrowed.
 */
import { hash } from 'node:crypto';

export const HASH_BYTES = 32;

const LEAF_PREFIX = 0x00;
const NODE_PREFIX = 0x01;

/** Gives the hash of a perfect subtree that the tree has; what it throws ends the proof. */
export type NodeLookup = (level: number, index: number) => Uint8Array | Promise<Uint8Array>;

/** A perfect subtree. */
export interface Subtree {
  readonly level: number;
  readonly index: number;
}

/** SHA-256. The detour over a string of one character per byte is the fastest way the runtime has to 32 bytes. */
export function sha256(data: Uint8Array): Uint8Array {
  return Buffer.from(hash('sha256', data, 'binary'), 'binary');
}

/** Root of a tree without leaves. */
export function emptyRoot(): Uint8Array {
  return sha256(new Uint8Array(0));
}

/** Hash of a leaf. Cost: linear in the data, which is copied once. */
export function leafHash(data: Uint8Array): Uint8Array {
  const bytes = Buffer.allocUnsafe(1 + data.length);
  bytes[0] = LEAF_PREFIX;
  bytes.set(data, 1);
  return sha256(bytes);
}

/** Hash of the node over two others. */
export function nodeHash(left: Uint8Array, right: Uint8Array): Uint8Array {
  const bytes = Buffer.allocUnsafe(1 + 2 * HASH_BYTES);
  bytes[0] = NODE_PREFIX;
  bytes.set(left, 1);
  bytes.set(right, 1 + HASH_BYTES);
  return sha256(bytes);
}

/** Whether two hashes are the same bytes. They are public, so the time it takes tells nothing. */
export function sameHash(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/**
 * The perfect subtrees that leaves `start` up to `end` consist of, from left to right, the largest first. `start` is a
 * multiple of the largest, as it is wherever RFC 6962 splits a tree. Cost: logarithmic.
 */
export function subtreesOf(start: number, end: number): Subtree[] {
  const subtrees: Subtree[] = [];
  for (let at = start; at < end; ) {
    const level = bitLength(end - at) - 1;
    const width = 2 ** level;
    subtrees.push({ level, index: at / width });
    at += width;
  }
  return subtrees;
}

/** Leaves `start` up to `end`, at least one of them, aligned as for `subtreesOf`. */
type Range = readonly [start: number, end: number];

/** Hashes over ranges of leaves. What is not at hand is looked up at once; nothing is awaited where all is. */
async function hashRanges(ranges: readonly Range[], node: NodeLookup): Promise<Uint8Array[]> {
  const found = ranges.map(([start, end]) =>
    subtreesOf(start, end).map(({ level, index }) => node(level, index)),
  );
  const isAtHand = (subtrees: readonly unknown[]): subtrees is Uint8Array[] =>
    subtrees.every((subtree) => subtree instanceof Uint8Array);
  if (found.every(isAtHand)) return found.map(foldRight);
  // All in one: a lookup that fails beside another one that failed must not be left unheard.
  return (await Promise.all(found.map((subtrees) => Promise.all(subtrees)))).map(foldRight);
}

/** Root of the tree over the first `size` leaves. */
export async function rootOf(size: number, node: NodeLookup): Promise<Uint8Array> {
  if (size === 0) return emptyRoot();
  const [root] = await hashRanges([[0, size]], node);
  return root!;
}

function foldRight(hashes: readonly Uint8Array[]): Uint8Array {
  let root = hashes.at(-1)!;
  for (let i = hashes.length - 2; i >= 0; i--) root = nodeHash(hashes[i]!, root);
  return root;
}

/** A tree that only grows, as the roots of its perfect subtrees: all that appending needs. */
export class CompactRange {
  #size: number;
  readonly #hashes: Uint8Array[];

  /** `hashes`: one for each of `subtreesOf(0, size)`. Throws RangeError for another number of them. */
  constructor(size = 0, hashes: readonly Uint8Array[] = []) {
    if (hashes.length !== subtreesOf(0, size).length)
      throw new RangeError(`${hashes.length} hashes do not make a tree of ${size} leaves`);
    this.#size = size;
    this.#hashes = [...hashes];
  }

  get size(): number {
    return this.#size;
  }

  get hashes(): readonly Uint8Array[] {
    return this.#hashes;
  }

  /** Adds a leaf; `completed` is told of each subtree that it completes, from its own on up. Amortized cost: constant. */
  append(leaf: Uint8Array, completed?: (level: number, index: number, hash: Uint8Array) => void): void {
    let hash = leaf;
    let index = this.#size;
    completed?.(0, index, hash);
    for (let level = 1; index % 2 === 1; level++) {
      hash = nodeHash(this.#hashes.pop()!, hash);
      index = (index - 1) / 2;
      completed?.(level, index, hash);
    }
    this.#hashes.push(hash);
    this.#size++;
  }

  root(): Uint8Array {
    return this.#size === 0 ? emptyRoot() : foldRight(this.#hashes);
  }
}

/**
 * Proof that leaf `index` is in the tree of `size` leaves (RFC 6962, section 2.1.1): the siblings of its path, from the
 * leaf up. Throws RangeError unless 0 <= index < size. Cost: lookups logarithmic in the size.
 */
export async function inclusionProof(index: number, size: number, node: NodeLookup): Promise<Uint8Array[]> {
  if (!(index >= 0 && index < size)) throw new RangeError(`no leaf ${index} among ${size}`);
  const siblings: Range[] = [];
  let start = 0;
  let end = size;
  while (end - start > 1) {
    const middle = start + splitOf(end - start);
    if (index < middle) {
      siblings.push([middle, end]);
      end = middle;
    } else {
      siblings.push([start, middle]);
      start = middle;
    }
  }
  return hashRanges(siblings.reverse(), node);
}

/**
 * Proof that the tree of `first` leaves is the beginning of that of `second` (RFC 6962, section 2.1.2); empty for equal
 * sizes. Throws RangeError unless 1 <= first <= second. Cost: lookups logarithmic in the size.
 */
export async function consistencyProof(
  first: number,
  second: number,
  node: NodeLookup,
): Promise<Uint8Array[]> {
  if (!(first >= 1 && first <= second)) throw new RangeError(`no proof from ${first} to ${second} leaves`);
  const ranges: Range[] = [];
  let start = 0;
  let end = second;
  while (end !== first) {
    const middle = start + splitOf(end - start);
    if (first <= middle) {
      ranges.push([middle, end]);
      end = middle;
    } else {
      ranges.push([start, middle]);
      start = middle;
    }
  }
  // Where what is left is the whole of the first tree, whoever verifies the proof has its root already.
  if (start > 0) ranges.push([start, end]);
  return hashRanges(ranges.reverse(), node);
}

/** Claim that a leaf is in a tree. */
export interface InclusionClaim {
  readonly index: bigint;
  readonly size: bigint;
  readonly leafHash: Uint8Array;
  readonly proof: readonly Uint8Array[];
  readonly root: Uint8Array;
}

/** Whether the proof leads from the leaf to the root. Never throws. Cost: one hash per item of the proof. */
export function verifyInclusion({ index, size, leafHash, proof, root }: InclusionClaim): boolean {
  if (index < 0n || index >= size || !areHashes([leafHash, ...proof])) return false;
  const inner = bigBitLength(index ^ (size - 1n));
  if (proof.length !== inner + onesOf(index >> BigInt(inner))) return false;
  return sameHash(climb(leafHash, index, proof, inner), root);
}

/** Claim that one tree is the beginning of another. */
export interface ConsistencyClaim {
  readonly firstSize: bigint;
  readonly secondSize: bigint;
  readonly firstRoot: Uint8Array;
  readonly secondRoot: Uint8Array;
  readonly proof: readonly Uint8Array[];
}

/**
 * Whether the proof leads to both roots. Nothing is proven about an empty first tree, which every tree begins with.
 * Never throws. Cost: two hashes per item of the proof.
 */
export function verifyConsistency(claim: ConsistencyClaim): boolean {
  const { firstSize, secondSize, firstRoot, secondRoot, proof } = claim;
  if (firstSize < 1n || secondSize < firstSize) return false;
  if (firstSize === secondSize) return proof.length === 0 && sameHash(firstRoot, secondRoot);
  // The proof starts from the last subtree of the first tree: the first tree itself where its size is a power of two.
  const shift = onesOf((firstSize & -firstSize) - 1n);
  const path = firstSize === 1n << BigInt(shift) ? [firstRoot, ...proof] : proof;
  const [seed, ...siblings] = path;
  if (seed === undefined || !areHashes(path)) return false;
  const inner = bigBitLength((firstSize - 1n) ^ (secondSize - 1n)) - shift;
  const place = (firstSize - 1n) >> BigInt(shift);
  if (siblings.length !== inner + onesOf(place >> BigInt(inner))) return false;
  const known = siblings.filter((_, i) => i >= inner || ((place >> BigInt(i)) & 1n) === 1n);
  return (
    sameHash(climb(seed, 0n, known, 0), firstRoot) &&
    sameHash(climb(seed, place, siblings, inner), secondRoot)
  );
}

/** From a subtree up to a root. The first `inner` siblings lie left or right as `place` says, the others left. */
function climb(from: Uint8Array, place: bigint, siblings: readonly Uint8Array[], inner: number): Uint8Array {
  // Half by half: shifting a bigint at each level costs as much as hashing.
  const low = Number(BigInt.asUintN(32, place));
  const high = Number(place >> 32n);
  let hash = from;
  for (let i = 0; i < siblings.length; i++) {
    const sibling = siblings[i]!;
    const bit = ((i < 32 ? low : high) >>> (i % 32)) & 1;
    hash = i < inner && bit === 0 ? nodeHash(hash, sibling) : nodeHash(sibling, hash);
  }
  return hash;
}

function areHashes(values: readonly Uint8Array[]): boolean {
  return values.every((value) => value.length === HASH_BYTES);
}

/** Largest power of two below n > 1. */
function splitOf(n: number): number {
  return 2 ** (bitLength(n - 1) - 1);
}

/** Bits needed to write n, 0 <= n < 2^53. */
function bitLength(n: number): number {
  const high = Math.floor(n / 2 ** 32);
  return high > 0 ? 64 - Math.clz32(high) : 32 - Math.clz32(n);
}

function bigBitLength(n: bigint): number {
  return n === 0n ? 0 : n.toString(2).length;
}

function onesOf(n: bigint): number {
  return n.toString(2).replaceAll('0', '').length;
}
