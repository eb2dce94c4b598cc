/**
 * Memory for compiled kernels: an instance of the WebAssembly module with a memory of its own, handed out region by
 * region as typed arrays. Kernels work on these arrays in place; a grid from elsewhere is copied in with `set` (one
 * pass over it, about a quarter of a millisecond for a million doubles), results are copied out with `slice`. The
 * memory never grows, so views stay valid, and regions are never given back: an arena is dropped as a whole. Untouched
 * pages cost address space only. To make an arena takes 0.3 ms, and 10 ms more for the first of a thread, which compiles
 * the module. An arena belongs to one thread and its plans run one at a time; every thread may have its own.
 */
import type { Kernels } from './exports.ts';
import { WASM_BASE64 } from './wasm-code.ts';

/** What is used of the global of that name, which the types of Node leave out. */
declare const WebAssembly: {
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (module: object, imports: object) => { readonly exports: unknown };
  readonly Memory: new (size: { initial: number; maximum: number }) => { readonly buffer: ArrayBuffer };
};

const PAGE_BYTES = 65_536;
const ALIGNMENT = 64;
const MIB = 1024 * 1024;

type View = Float64Array | Float32Array | Uint32Array | Uint8Array;

export interface Arena {
  /** The kernels over this memory; addresses are those of `addressOf`. */
  readonly kernels: Kernels;
  /** A new region of zeros; RangeError when the arena is full. So are the next three. */
  float64(length: number): Float64Array<ArrayBuffer>;
  float32(length: number): Float32Array<ArrayBuffer>;
  uint32(length: number): Uint32Array<ArrayBuffer>;
  uint8(length: number): Uint8Array<ArrayBuffer>;
  /** Byte address of an array of this arena. RangeError for another's, or one with fewer than `length` elements. */
  addressOf(array: View, length: number): number;
}

let compiled: object | undefined;

/** The module, compiled once per thread when first needed: code, not state. */
function kernelModule(): object {
  compiled ??= new WebAssembly.Module(Buffer.from(WASM_BASE64, 'base64'));
  return compiled;
}

/** An arena of `mebibytes` (1 to 4,096). A million cells of a double array take 8. */
export function createArena(mebibytes: number): Arena {
  if (!(mebibytes >= 1 && mebibytes <= 4096)) throw new RangeError(`an arena of ${mebibytes} MiB`);
  const pages = Math.ceil((mebibytes * MIB) / PAGE_BYTES);
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
  const { buffer } = memory;
  const instance = new WebAssembly.Instance(kernelModule(), { env: { memory } });
  const kernels = instance.exports as Kernels;
  let next = aligned(kernels.firstFree());
  const take = (bytes: number): number => {
    const at = next;
    // Kernels may read a vector past the end of an array, so the last bytes stay free.
    if (!(bytes >= 0) || at + bytes + ALIGNMENT > buffer.byteLength) {
      throw new RangeError(`${bytes} bytes in an arena of ${buffer.byteLength}, ${at} of them in use`);
    }
    next = aligned(at + bytes);
    return at;
  };
  return {
    kernels,
    float64: (length) => new Float64Array(buffer, take(8 * length), length),
    float32: (length) => new Float32Array(buffer, take(4 * length), length),
    uint32: (length) => new Uint32Array(buffer, take(4 * length), length),
    uint8: (length) => new Uint8Array(buffer, take(length), length),
    addressOf(array, length) {
      if (array.buffer !== buffer) throw new RangeError('an array from outside the arena');
      if (array.length < length) throw new RangeError(`an array of ${array.length} for ${length} elements`);
      return array.byteOffset;
    },
  };
}

function aligned(address: number): number {
  return Math.ceil(address / ALIGNMENT) * ALIGNMENT;
}

/** An arena with room for arrays of so many bytes, 0.3 ms. A process can have some 12,800: each takes 10 GiB of addresses. */
export function arenaFor(bytes: number): Arena {
  return createArena(1 + Math.ceil(bytes / MIB));
}
