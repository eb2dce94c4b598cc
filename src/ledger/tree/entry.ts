/**
 * Leaf data of the log: `homeostat-entry/1`, the length of the kind as one byte, the kind, the length of the key as one
 * byte, the key, the time as 8 bytes of milliseconds since 1970, most significant first, and SHA-256 of the payload.
 * The payload itself is not in it, so that it may be erased while the tree stands.
 */
import type { MessageInitShape } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import type { LedgerEntrySchema } from '../../gen/homeostat/type/v1/ledger_pb.ts';
import { HASH_BYTES, leafHash, sameHash, sha256 } from '../../numeric/merkle.ts';

/** What a leaf commits to. */
export interface LeafFields {
  /** `<context>.<name>`, 1..255 bytes of UTF-8. */
  readonly kind: string;
  /** Names the entry within its kind, 1..255 bytes of UTF-8. */
  readonly key: string;
  /** Wall time of the append, milliseconds since 1970. */
  readonly atMs: number;
  /** SHA-256 of the payload. */
  readonly payloadHash: Uint8Array;
}

/** An entry as it is stored. */
export interface Entry extends LeafFields {
  readonly index: number;
  /** Undefined once it was erased. */
  readonly payload: Uint8Array | undefined;
  readonly leafHash: Uint8Array;
}

const FORMAT = Buffer.from('homeostat-entry/1');
const NAME_BYTES_MAX = 255;
const TIME_BYTES = 8;

/** Leaf data. Throws RangeError for a kind or a key that has not 1 to 255 bytes. */
export function leafData({ kind, key, atMs, payloadHash }: LeafFields): Uint8Array {
  const kindBytes = nameBytes(kind);
  const keyBytes = nameBytes(key);
  const data = Buffer.allocUnsafe(
    FORMAT.length + 1 + kindBytes + 1 + keyBytes + TIME_BYTES + payloadHash.length,
  );
  data.set(FORMAT);
  let at = FORMAT.length;
  data[at++] = kindBytes;
  at += data.write(kind, at);
  data[at++] = keyBytes;
  at += data.write(key, at);
  at = data.writeUInt32BE(Math.floor(atMs / 2 ** 32), at);
  at = data.writeUInt32BE(atMs % 2 ** 32, at);
  data.set(payloadHash, at);
  return data;
}

/** Length of a name in UTF-8. */
function nameBytes(name: string): number {
  const length = Buffer.byteLength(name);
  if (length >= 1 && length <= NAME_BYTES_MAX) return length;
  throw new RangeError('a kind or key has not 1 to 255 bytes');
}

/** Reads leaf data; undefined for anything that `leafData` does not write. */
export function parseLeafData(data: Uint8Array): LeafFields | undefined {
  const bytes = Buffer.from(data.buffer, data.byteOffset, data.length);
  if (!bytes.subarray(0, FORMAT.length).equals(FORMAT)) return undefined;
  const kind = readName(bytes, FORMAT.length);
  const key = kind && readName(bytes, kind.end);
  if (!kind || !key || bytes.length !== key.end + TIME_BYTES + HASH_BYTES) return undefined;
  const atMs = Number(bytes.readBigUInt64BE(key.end));
  if (!Number.isSafeInteger(atMs)) return undefined;
  const payloadHash = data.subarray(key.end + TIME_BYTES);
  return { kind: kind.name, key: key.name, atMs, payloadHash };
}

function readName(bytes: Buffer, at: number): { readonly name: string; readonly end: number } | undefined {
  const end = at + 1 + (bytes[at] ?? 0);
  if (at >= bytes.length || end > bytes.length || end === at + 1) return undefined;
  const name = bytes.toString('utf8', at + 1, end);
  // A text that is not UTF-8 would be read as another one.
  return Buffer.from(name).equals(bytes.subarray(at + 1, end)) ? { name, end } : undefined;
}

/** What an entry's stored parts say against each other; undefined where they agree. */
export function entryFault(entry: Entry): string | undefined {
  const { payload, payloadHash } = entry;
  if (payload !== undefined && !sameHash(sha256(payload), payloadHash)) return 'the payload is not its hash';
  try {
    return sameHash(leafHash(leafData(entry)), entry.leafHash) ? undefined : 'the fields are not the leaf';
  } catch (error) {
    if (error instanceof RangeError) return 'no leaf has these fields';
    throw error;
  }
}

/** An entry as messages carry it. */
export function entryToProto(entry: Entry): MessageInitShape<typeof LedgerEntrySchema> {
  const { index, kind, key, atMs, payload, payloadHash, leafHash } = entry;
  return {
    index: BigInt(index),
    kind,
    key,
    appendedAt: timestampFromMs(atMs),
    ...(payload && { payload }),
    payloadHash,
    leafData: leafData(entry),
    leafHash,
  };
}
