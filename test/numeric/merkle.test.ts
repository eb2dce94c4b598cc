/**
 * RFC 6962 trees against a naive recursive tree, known roots, and published probes of transparency-dev/merkle
 * (https://github.com/transparency-dev/merkle, Apache-2.0): a few copied here, the others read where their folder lies
 * beside the repository.
 */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  CompactRange,
  consistencyProof,
  emptyRoot,
  inclusionProof,
  leafHash,
  type NodeLookup,
  nodeHash,
  rootOf,
  sameHash,
  subtreesOf,
  verifyConsistency,
  verifyInclusion,
} from '../../src/numeric/merkle.ts';

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');
const fromHex = (text: string) => new Uint8Array(Buffer.from(text, 'hex'));
const fromBase64 = (text: string) => new Uint8Array(Buffer.from(text, 'base64'));

const LEAVES = [
  '',
  '00',
  '10',
  '2021',
  '3031',
  '40414243',
  '5051525354555657',
  '606162636465666768696a6b6c6d6e6f',
].map(fromHex);
const ROOTS: Readonly<Record<number, string>> = {
  1: '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d',
  3: 'aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77',
  7: 'ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c',
  8: '5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328',
};

/** RFC 6962, section 2.1, word for word. */
function naiveRoot(leaves: readonly Uint8Array[]): Uint8Array {
  if (leaves.length === 0) return emptyRoot();
  if (leaves.length === 1) return leaves[0]!;
  const k = naiveSplit(leaves.length);
  return nodeHash(naiveRoot(leaves.slice(0, k)), naiveRoot(leaves.slice(k)));
}

/** Section 2.1.1. */
function naivePath(m: number, leaves: readonly Uint8Array[]): Uint8Array[] {
  if (leaves.length === 1) return [];
  const k = naiveSplit(leaves.length);
  return m < k
    ? [...naivePath(m, leaves.slice(0, k)), naiveRoot(leaves.slice(k))]
    : [...naivePath(m - k, leaves.slice(k)), naiveRoot(leaves.slice(0, k))];
}

/** Section 2.1.2. */
function naiveProof(m: number, leaves: readonly Uint8Array[], whole = true): Uint8Array[] {
  if (m === leaves.length) return whole ? [] : [naiveRoot(leaves)];
  const k = naiveSplit(leaves.length);
  return m <= k
    ? [...naiveProof(m, leaves.slice(0, k), whole), naiveRoot(leaves.slice(k))]
    : [...naiveProof(m - k, leaves.slice(k), false), naiveRoot(leaves.slice(0, k))];
}

function naiveSplit(n: number): number {
  let k = 1;
  while (2 * k < n) k *= 2;
  return k;
}

/** Grows a tree and keeps every perfect subtree. */
function grow(leaves: readonly Uint8Array[]): { range: CompactRange; node: NodeLookup } {
  const nodes = new Map<string, Uint8Array>();
  const range = new CompactRange();
  for (const leaf of leaves) range.append(leaf, (level, index, hash) => nodes.set(`${level}/${index}`, hash));
  return {
    range,
    node: (level, index) => {
      const hash = nodes.get(`${level}/${index}`);
      if (hash === undefined) throw new Error(`no perfect subtree ${level}/${index}`);
      return hash;
    },
  };
}

describe('RFC 6962 trees', () => {
  test('the root of no leaves is SHA-256 of nothing', () => {
    expect(hex(emptyRoot())).toBe('e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855');
    expect(hex(new CompactRange().root())).toBe(hex(emptyRoot()));
  });

  test('known leaves have their known roots', async () => {
    for (const [size, root] of Object.entries(ROOTS)) {
      const { range, node } = grow(LEAVES.slice(0, Number(size)).map(leafHash));
      expect(hex(range.root())).toBe(root);
      expect(hex(await rootOf(Number(size), node))).toBe(root);
    }
  });

  test('every root and inclusion proof of up to 256 leaves is that of the naive tree, and verifies', async () => {
    const leaves = Array.from({ length: 256 }, (_, i) => leafHash(Uint8Array.of(i)));
    const { node } = grow(leaves);
    for (let size = 1; size <= leaves.length; size++) {
      const held = leaves.slice(0, size);
      const root = naiveRoot(held);
      expect(hex(await rootOf(size, node))).toBe(hex(root));
      // Above 64 leaves the naive proof is taken of every 13th leaf; each proof is verified all the same.
      for (let index = 0; index < size; index++) {
        const proof = await inclusionProof(index, size, node);
        if (size <= 64 || index % 13 === 0) expect(proof.map(hex)).toEqual(naivePath(index, held).map(hex));
        const claim = { index: BigInt(index), size: BigInt(size), leafHash: held[index]!, proof, root };
        if (!verifyInclusion(claim)) throw new Error(`leaf ${index} of ${size} is not proven`);
      }
    }
  }, 60_000);

  test('every consistency proof between up to 256 leaves is that of the naive tree, and verifies', async () => {
    const leaves = Array.from({ length: 256 }, (_, i) => leafHash(Uint8Array.of(i)));
    const { node } = grow(leaves);
    const roots = leaves.map((_, i) => naiveRoot(leaves.slice(0, i + 1)));
    for (let second = 1; second <= leaves.length; second++)
      for (let first = 1; first <= second; first++) {
        const proof = await consistencyProof(first, second, node);
        if (second <= 64 || first % 13 === 0)
          expect(proof.map(hex)).toEqual(naiveProof(first, leaves.slice(0, second)).map(hex));
        const claim = {
          firstSize: BigInt(first),
          secondSize: BigInt(second),
          firstRoot: roots[first - 1]!,
          secondRoot: roots[second - 1]!,
          proof,
        };
        if (!verifyConsistency(claim)) throw new Error(`${first} to ${second} is not proven`);
      }
  }, 60_000);

  test('a proof of anything else is refused: another place, size, leaf, or a proof changed in any way', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 600 }).chain((size) =>
          fc.record({
            size: fc.constant(size),
            index: fc.integer({ min: 0, max: size - 1 }),
            otherIndex: fc.integer({ min: 0, max: size - 1 }),
            flip: fc.nat(),
          }),
        ),
        async ({ size, index, otherIndex, flip }) => {
          const leaves = Array.from({ length: size }, (_, i) => leafHash(Buffer.from(String(i))));
          const { range, node } = grow(leaves);
          const claim = {
            index: BigInt(index),
            size: BigInt(size),
            leafHash: leaves[index]!,
            proof: await inclusionProof(index, size, node),
            root: range.root(),
          };
          const verify = (change: Partial<typeof claim>) => verifyInclusion({ ...claim, ...change });
          expect(verify({})).toBe(true);
          if (otherIndex !== index) {
            expect(verify({ index: BigInt(otherIndex) })).toBe(false);
            expect(verify({ leafHash: leaves[otherIndex]! })).toBe(false);
          }
          expect(verify({ index: claim.size })).toBe(false);
          expect(verify({ proof: [...claim.proof, claim.root] })).toBe(false);
          expect(verify({ proof: claim.proof.slice(1), ...(size === 1 && { root: leaves[0]! }) })).toBe(
            size === 1,
          );
          const bytes = [claim.leafHash, claim.root, ...claim.proof].map((hash) => Uint8Array.from(hash));
          const at = flip % (bytes.length * 256);
          bytes[at >> 8]![(at & 255) >> 3]! ^= 1 << (at & 7);
          const [changedLeaf, root, ...proof] = bytes;
          expect(verify({ leafHash: changedLeaf!, root: root!, proof })).toBe(false);
        },
      ),
      { numRuns: 60 },
    );
  });

  test('a range goes on from its stored hashes, and refuses a wrong number of them', () => {
    const leaves = Array.from({ length: 37 }, (_, i) => leafHash(Uint8Array.of(i)));
    const { range } = grow(leaves.slice(0, 21));
    const resumed = new CompactRange(range.size, range.hashes);
    for (const leaf of leaves.slice(21)) resumed.append(leaf);
    expect(hex(resumed.root())).toBe(hex(naiveRoot(leaves)));
    expect(resumed.size).toBe(37);
    expect(() => new CompactRange(3, range.hashes)).toThrow(RangeError);
  });

  test('subtrees of sizes beyond 2^32 are counted exactly', () => {
    const size = 2 ** 52 + 2 ** 33 + 5;
    expect(subtreesOf(0, size)).toEqual([
      { level: 52, index: 0 },
      { level: 33, index: 2 ** 19 },
      { level: 2, index: (2 ** 52 + 2 ** 33) / 4 },
      { level: 0, index: size - 1 },
    ]);
  });

  test('lookups may take their time, and all of them may fail', async () => {
    const leaves = Array.from({ length: 37 }, (_, i) => leafHash(Uint8Array.of(i)));
    const { range, node } = grow(leaves);
    const later: NodeLookup = async (level, index) => node(level, index);
    const proof = await inclusionProof(5, 37, later);
    expect(proof.map(hex)).toEqual((await inclusionProof(5, 37, node)).map(hex));
    expect(hex(await rootOf(37, later))).toBe(hex(range.root()));
    const failing: NodeLookup = async () => {
      throw new Error('gone');
    };
    await expect(inclusionProof(5, 37, failing)).rejects.toThrow('gone');
    await expect(consistencyProof(5, 37, failing)).rejects.toThrow('gone');
  });

  test('what cannot be proven is refused before anything is looked up', async () => {
    const never: NodeLookup = () => {
      throw new Error('looked up');
    };
    await expect(inclusionProof(3, 3, never)).rejects.toThrow(RangeError);
    await expect(consistencyProof(0, 3, never)).rejects.toThrow(RangeError);
    await expect(consistencyProof(4, 3, never)).rejects.toThrow(RangeError);
  });
});

interface Probe {
  readonly name: string;
  readonly wantErr: boolean;
  readonly proof: readonly string[] | null;
}
interface InclusionProbe extends Probe {
  readonly leafIdx: bigint;
  readonly treeSize: bigint;
  readonly leafHash: string;
  readonly root: string;
}
interface ConsistencyProbe extends Probe {
  readonly size1: bigint;
  readonly size2: bigint;
  readonly root1: string;
  readonly root2: string;
}

const judgeInclusion = (probe: InclusionProbe) =>
  verifyInclusion({
    index: probe.leafIdx,
    size: probe.treeSize,
    leafHash: fromBase64(probe.leafHash),
    proof: (probe.proof ?? []).map(fromBase64),
    root: fromBase64(probe.root),
  });
const judgeConsistency = (probe: ConsistencyProbe) =>
  verifyConsistency({
    firstSize: probe.size1,
    secondSize: probe.size2,
    firstRoot: fromBase64(probe.root1),
    secondRoot: fromBase64(probe.root2),
    proof: (probe.proof ?? []).map(fromBase64),
  });

/** JSON whose integers reach 2^64 - 1: every integer becomes a bigint. */
function parseProbes<P extends Probe>(text: string): P[] {
  const quoted = text.replace(
    /("(?:[^"\\]|\\.)*")|(-?\d+)/g,
    (_, string, integer) => string ?? `"#${integer}"`,
  );
  return JSON.parse(quoted, (_, value) =>
    typeof value === 'string' && value.startsWith('#') ? BigInt(value.slice(1)) : value,
  );
}

const folder = join(dirname(fileURLToPath(import.meta.url)), '../../../shared/data/merkle_rfc6962');
const readProbes = <P extends Probe>(kind: string) =>
  parseProbes<P>(gunzipSync(readFileSync(join(folder, `${kind}_probes.json.gz`))).toString('utf8'));

const PROBES = `[
{"name": "inclusion/0/empty-root", "leafIdx": 0, "treeSize": 1, "root": "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=", "leafHash": "bjQLnP+zepicpUTmu3gKLHiQHT+zNzh2hRGjBhevoB0=", "proof": null, "wantErr": true},
{"name": "inclusion/0/happy-path", "leafIdx": 0, "treeSize": 1, "root": "bjQLnP+zepicpUTmu3gKLHiQHT+zNzh2hRGjBhevoB0=", "leafHash": "bjQLnP+zepicpUTmu3gKLHiQHT+zNzh2hRGjBhevoB0=", "proof": null, "wantErr": false},
{"name": "inclusion/0/leafIdx-sub-@1", "leafIdx": 18446744073709551615, "treeSize": 1, "root": "bjQLnP+zepicpUTmu3gKLHiQHT+zNzh2hRGjBhevoB0=", "leafHash": "bjQLnP+zepicpUTmu3gKLHiQHT+zNzh2hRGjBhevoB0=", "proof": null, "wantErr": true},
{"name": "inclusion/0/random-root", "leafIdx": 0, "treeSize": 1, "root": "q6yroAAAAAAAAAAAAAAAAAAAAAAAAAAAAGAGHgASNFY=", "leafHash": "bjQLnP+zepicpUTmu3gKLHiQHT+zNzh2hRGjBhevoB0=", "proof": null, "wantErr": true},
{"name": "inclusion/0/treeSize-div-@2", "leafIdx": 0, "treeSize": 0, "root": "bjQLnP+zepicpUTmu3gKLHiQHT+zNzh2hRGjBhevoB0=", "leafHash": "bjQLnP+zepicpUTmu3gKLHiQHT+zNzh2hRGjBhevoB0=", "proof": null, "wantErr": true},
{"name": "inclusion/1/modified-proof[1]-bit-@3", "leafIdx": 0, "treeSize": 8, "root": "XcnaeacGWamtVZy3Ad7ZoqudgjqtL0lgz+Nw7/RgQyg=", "leafHash": "bjQLnP+zepicpUTmu3gKLHiQHT+zNzh2hRGjBhevoB0=", "proof": ["lqKW0iTyhcZ77pPDD4owkVfw2qNdxbh+QQt4YwoJz8c=", "Vwg/ChozygdqlSeYMlgNs+DvRYS9/x9UyKNg9Q3jAx4=", "a0eq8p7jwq+a+Im8H7klTavTEXfxYjLdaqsDXKOb9uQ="], "wantErr": true},
{"name": "inclusion/1/preceding-root", "leafIdx": 0, "treeSize": 8, "root": "XcnaeacGWamtVZy3Ad7ZoqudgjqtL0lgz+Nw7/RgQyg=", "leafHash": "bjQLnP+zepicpUTmu3gKLHiQHT+zNzh2hRGjBhevoB0=", "proof": ["XcnaeacGWamtVZy3Ad7ZoqudgjqtL0lgz+Nw7/RgQyg=", "lqKW0iTyhcZ77pPDD4owkVfw2qNdxbh+QQt4YwoJz8c=", "Xwg/ChozygdqlSeYMlgNs+DvRYS9/x9UyKNg9Q3jAx4=", "a0eq8p7jwq+a+Im8H7klTavTEXfxYjLdaqsDXKOb9uQ="], "wantErr": true},
{"name": "inclusion/3/happy-path", "leafIdx": 2, "treeSize": 3, "root": "rra8/idLcKFPsGel5VeCZNsPqbUa9eC6FZFY8yngbnc=", "leafHash": "ApjRIpBtz8EIkstTpzmS/FufST6kybrbJ7eRtBJ6f+c=", "proof": ["+sVCA+fMaWzw38tCySodnbr3CtnmIfS9jZhmLwDjwSU="], "wantErr": false},
{"name": "consistency/0/happy-path", "size1": 1, "size2": 1, "root1": "bjQLnP+zepicpUTmu3gKLHiQHT+zNzh2hRGjBhevoB0=", "root2": "bjQLnP+zepicpUTmu3gKLHiQHT+zNzh2hRGjBhevoB0=", "proof": null, "wantErr": false},
{"name": "consistency/1/empty-proof", "size1": 1, "size2": 8, "root1": "bjQLnP+zepicpUTmu3gKLHiQHT+zNzh2hRGjBhevoB0=", "root2": "XcnaeacGWamtVZy3Ad7ZoqudgjqtL0lgz+Nw7/RgQyg=", "proof": [], "wantErr": true},
{"name": "consistency/1/modified-proof@2-bit-@4", "size1": 1, "size2": 8, "root1": "bjQLnP+zepicpUTmu3gKLHiQHT+zNzh2hRGjBhevoB0=", "root2": "XcnaeacGWamtVZy3Ad7ZoqudgjqtL0lgz+Nw7/RgQyg=", "proof": ["lqKW0iTyhcZ77pPDD4owkVfw2qNdxbh+QQt4YwoJz8c=", "Xwg/ChozygdqlSeYMlgNs+DvRYS9/x9UyKNg9Q3jAx4=", "e0eq8p7jwq+a+Im8H7klTavTEXfxYjLdaqsDXKOb9uQ="], "wantErr": true},
{"name": "consistency/1/preceding-root1", "size1": 1, "size2": 8, "root1": "bjQLnP+zepicpUTmu3gKLHiQHT+zNzh2hRGjBhevoB0=", "root2": "XcnaeacGWamtVZy3Ad7ZoqudgjqtL0lgz+Nw7/RgQyg=", "proof": ["bjQLnP+zepicpUTmu3gKLHiQHT+zNzh2hRGjBhevoB0=", "lqKW0iTyhcZ77pPDD4owkVfw2qNdxbh+QQt4YwoJz8c=", "Xwg/ChozygdqlSeYMlgNs+DvRYS9/x9UyKNg9Q3jAx4=", "a0eq8p7jwq+a+Im8H7klTavTEXfxYjLdaqsDXKOb9uQ="], "wantErr": true},
{"name": "consistency/1/size1-plus-@1", "size1": 2, "size2": 8, "root1": "bjQLnP+zepicpUTmu3gKLHiQHT+zNzh2hRGjBhevoB0=", "root2": "XcnaeacGWamtVZy3Ad7ZoqudgjqtL0lgz+Nw7/RgQyg=", "proof": ["lqKW0iTyhcZ77pPDD4owkVfw2qNdxbh+QQt4YwoJz8c=", "Xwg/ChozygdqlSeYMlgNs+DvRYS9/x9UyKNg9Q3jAx4=", "a0eq8p7jwq+a+Im8H7klTavTEXfxYjLdaqsDXKOb9uQ="], "wantErr": true},
{"name": "consistency/1/size2-mul-@2", "size1": 1, "size2": 16, "root1": "bjQLnP+zepicpUTmu3gKLHiQHT+zNzh2hRGjBhevoB0=", "root2": "XcnaeacGWamtVZy3Ad7ZoqudgjqtL0lgz+Nw7/RgQyg=", "proof": ["lqKW0iTyhcZ77pPDD4owkVfw2qNdxbh+QQt4YwoJz8c=", "Xwg/ChozygdqlSeYMlgNs+DvRYS9/x9UyKNg9Q3jAx4=", "a0eq8p7jwq+a+Im8H7klTavTEXfxYjLdaqsDXKOb9uQ="], "wantErr": true},
{"name": "consistency/1/trailing-root1", "size1": 1, "size2": 8, "root1": "bjQLnP+zepicpUTmu3gKLHiQHT+zNzh2hRGjBhevoB0=", "root2": "XcnaeacGWamtVZy3Ad7ZoqudgjqtL0lgz+Nw7/RgQyg=", "proof": ["lqKW0iTyhcZ77pPDD4owkVfw2qNdxbh+QQt4YwoJz8c=", "Xwg/ChozygdqlSeYMlgNs+DvRYS9/x9UyKNg9Q3jAx4=", "a0eq8p7jwq+a+Im8H7klTavTEXfxYjLdaqsDXKOb9uQ=", "bjQLnP+zepicpUTmu3gKLHiQHT+zNzh2hRGjBhevoB0="], "wantErr": true},
{"name": "consistency/3/happy-path", "size1": 2, "size2": 5, "root1": "+sVCA+fMaWzw38tCySodnbr3CtnmIfS9jZhmLwDjwSU=", "root2": "Tju7H3tHjc/nH7YxYxUZo7yhLJrvyhYSv85ME6hiZNQ=", "proof": ["Xwg/ChozygdqlSeYMlgNs+DvRYS9/x9UyKNg9Q3jAx4=", "vBoGQ7EuTS18d5GPROD095qDi2z57FtcKD4fTYhZnms="], "wantErr": false}
]`;

describe('probes of transparency-dev/merkle', () => {
  test('the copied ones get their verdict', () => {
    const probes = parseProbes<InclusionProbe | ConsistencyProbe>(PROBES);
    expect(probes.length).toBeGreaterThan(10);
    for (const probe of probes) {
      const valid = 'leafIdx' in probe ? judgeInclusion(probe) : judgeConsistency(probe);
      expect({ name: probe.name, valid }).toEqual({ name: probe.name, valid: !probe.wantErr });
    }
    expect(probes.some((probe) => 'leafIdx' in probe && probe.leafIdx === 2n ** 64n - 1n)).toBe(true);
  });

  (existsSync(folder) ? test : test.skip)('all that lie beside the repository get their verdict', () => {
    const inclusion = readProbes<InclusionProbe>('inclusion');
    const consistency = readProbes<ConsistencyProbe>('consistency');
    expect(inclusion.length + consistency.length).toBeGreaterThan(60);
    const wrong = [
      ...inclusion.filter((probe) => judgeInclusion(probe) === probe.wantErr),
      ...consistency.filter((probe) => judgeConsistency(probe) === probe.wantErr),
    ];
    expect(wrong.map(({ name }) => name)).toEqual([]);
  });

  test('equal sizes need equal roots and no proof, and nothing is proven about an empty tree', () => {
    const root = fromHex(ROOTS[8]!);
    const claim = { firstSize: 8n, secondSize: 8n, firstRoot: root, secondRoot: root, proof: [] };
    expect(verifyConsistency(claim)).toBe(true);
    expect(verifyConsistency({ ...claim, proof: [root] })).toBe(false);
    expect(verifyConsistency({ ...claim, secondRoot: fromHex(ROOTS[7]!) })).toBe(false);
    expect(verifyConsistency({ ...claim, firstSize: 0n, firstRoot: emptyRoot() })).toBe(false);
    expect(verifyConsistency({ ...claim, firstSize: 0n, secondSize: 0n })).toBe(false);
    expect(verifyConsistency({ ...claim, secondSize: 7n })).toBe(false);
    expect(sameHash(root, root.subarray(1))).toBe(false);
  });
});
