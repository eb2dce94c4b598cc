/**
 * What a forecaster learned as the bytes that are stored, 700 or so a cell, written and hashed array by array so that no
 * step holds the event loop for long:
 *
 *   "homeostat.snapshot.v2\0"
 *   length of the head, u32, and the head: { tree, arrays } in structured clone format
 *   the arrays one after the other, each at a multiple of 8 bytes from the start
 *
 * `tree` is the state with a bigint in the place of each typed array: its place among `arrays`, which tell type and length.
 * An array met twice is written once, and is one array again. Numbers are little-endian, as on the platforms Node.js runs
 * on. Snapshots of before have no prefix: the state as a whole in structured clone format.
 */
import { createHash } from 'node:crypto';
import { deserialize, serialize } from 'node:v8';
import type { Steps } from '../../numeric/slices.ts';

export interface PackedSnapshot {
  readonly payload: Uint8Array;
  /** SHA-256 of the payload. */
  readonly digest: Uint8Array;
}

const TYPES = { Float64Array, Float32Array, Uint8Array, Int32Array, Uint32Array } as const;
type Type = keyof typeof TYPES;
type TypedArray = InstanceType<(typeof TYPES)[Type]>;

/** What is said of an array before its bytes. */
interface Described {
  readonly type: Type;
  readonly length: number;
}

interface Head {
  readonly tree: unknown;
  readonly arrays: readonly Described[];
}

const PREFIX = Buffer.from('homeostat.snapshot.v2\0');
const LENGTH_BYTES = 4;
const ALIGNMENT = 8;
/** Bytes copied and hashed between two yields: about a millisecond. */
const STEP_BYTES = 256 * 1024;

/**
 * Packs a state of plain data: objects, arrays, numbers, strings, booleans, undefined, and typed arrays of the types above
 * (TypeError for others). Equal states may differ in bytes: structured clone has two forms of a whole number, and which one
 * is written is the engine's choice. The state is borrowed until it is packed. O(state).
 */
export function* packSnapshot(state: unknown): Steps<PackedSnapshot> {
  const arrays: TypedArray[] = [];
  const tree = withoutArrays(state, arrays, new Map());
  const head: Head = {
    tree,
    arrays: arrays.map((array) => ({ type: typeOf(array), length: array.length })),
  };
  const written = serialize(head);
  let size = PREFIX.length + LENGTH_BYTES + written.length;
  const places = arrays.map(({ byteLength }) => {
    const place = aligned(size);
    size = place + byteLength;
    return place;
  });
  yield;
  const payload = Buffer.allocUnsafeSlow(size);
  let end = PREFIX.copy(payload);
  end = payload.writeUInt32LE(written.length, end);
  end += written.copy(payload, end);
  for (const [at, { buffer, byteOffset, byteLength }] of arrays.entries()) {
    payload.fill(0, end, places[at]!);
    for (let from = 0; from < byteLength; from += STEP_BYTES) {
      const part = new Uint8Array(buffer, byteOffset + from, Math.min(STEP_BYTES, byteLength - from));
      payload.set(part, places[at]! + from);
      yield;
    }
    end = places[at]! + byteLength;
  }
  const hash = createHash('sha256');
  for (let from = 0; from < size; from += STEP_BYTES) {
    hash.update(payload.subarray(from, from + STEP_BYTES));
    yield;
  }
  return { payload, digest: new Uint8Array(hash.digest()) };
}

/** The state of a payload that `packSnapshot`, or what was before it, has written. O(state). */
export function unpackSnapshot(payload: Uint8Array): unknown {
  const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength);
  if (!bytes.subarray(0, PREFIX.length).equals(PREFIX)) return deserialize(bytes);
  const start = PREFIX.length + LENGTH_BYTES;
  let end = start + bytes.readUInt32LE(PREFIX.length);
  const { tree, arrays } = deserialize(bytes.subarray(start, end)) as Head;
  const read = arrays.map(({ type, length }) => {
    const place = aligned(end);
    end = place + length * TYPES[type].BYTES_PER_ELEMENT;
    // A copy: the bytes of a row need not be aligned.
    const { buffer } = new Uint8Array(bytes.subarray(place, end));
    return new TYPES[type](buffer);
  });
  return withArrays(tree, read);
}

function withoutArrays(value: unknown, arrays: TypedArray[], places: Map<object, bigint>): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map((item) => withoutArrays(item, arrays, places));
  if (!ArrayBuffer.isView(value))
    return Object.fromEntries(
      Object.entries(value).map(([name, item]) => [name, withoutArrays(item, arrays, places)]),
    );
  const known = places.get(value);
  if (known !== undefined) return known;
  const place = BigInt(arrays.length);
  places.set(value, place);
  arrays.push(value as TypedArray);
  return place;
}

function withArrays(value: unknown, arrays: readonly TypedArray[]): unknown {
  if (typeof value === 'bigint') return arrays[Number(value)];
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map((item) => withArrays(item, arrays));
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, withArrays(item, arrays)]));
}

function typeOf(array: TypedArray): Type {
  const found = (Object.keys(TYPES) as Type[]).find((type) => array.constructor === TYPES[type]);
  if (found === undefined) throw new TypeError(`a snapshot cannot hold ${array.constructor.name}`);
  return found;
}

function aligned(at: number): number {
  return Math.ceil(at / ALIGNMENT) * ALIGNMENT;
}
