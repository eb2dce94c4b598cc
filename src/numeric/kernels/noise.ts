/**
 * White noise by counter: value i of (seed, sample, step) depends on nothing else, so any part of any sample can be
 * drawn on any thread, in any order, to the same bits on every host. Philox4x32-10 with the counter (block, step, sample,
 * 1); streams of random.ts have 0 in the last place, so the two never meet under one seed. Two normals come from each
 * block by the Box-Muller transform with the kernels' own logarithm, cosine and sine.
 */
import type { Arena } from './arena.ts';

export interface Noise {
  /**
   * Fills an array of the arena with independent standard normals: values 0, 1, ... of `sample` at `step`, both
   * unsigned 32-bit integers. Single precision gets the doubles, rounded. About 10 ns a value.
   */
  fill(out: Float64Array | Float32Array, sample: number, step: number): void;
}

/** The noise of one 64-bit seed. */
export function createNoise(arena: Arena, seed: bigint): Noise {
  const { kernels } = arena;
  const wide = BigInt.asUintN(64, seed);
  const low = Number(wide & 0xffffffffn);
  const high = Number(wide >> 32n);
  return {
    fill(out, sample, step) {
      const fillWith = out instanceof Float32Array ? kernels.normals32 : kernels.normals64;
      fillWith(low, high, sample, step, out.length, arena.addressOf(out, out.length));
    },
  };
}
