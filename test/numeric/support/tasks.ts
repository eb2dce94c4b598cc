/** Tasks that the tests of the worker pool run on its threads. */
import { threadId } from 'node:worker_threads';
import { createArena } from '../../../src/numeric/kernels/arena.ts';
import { createNoise } from '../../../src/numeric/kernels/noise.ts';
import { createRandom } from '../../../src/random.ts';

/** Sum of an array, through a source module of the product's. */
export function sum({ values }: { readonly values: Float64Array }): number {
  createRandom(1).uniform();
  return values.reduce((total, value) => total + value, 0);
}

export function thread(): number {
  return threadId;
}

/** Says that it runs, then until the flag is set, without giving the thread back. */
export function hold({ flags }: { readonly flags: Int32Array }): string {
  Atomics.add(flags, 0, 1);
  Atomics.notify(flags, 0);
  while (Atomics.load(flags, 1) === 0) Atomics.wait(flags, 1, 0, 1_000);
  return 'released';
}

export function fail({ why }: { readonly why: string }): never {
  throw new RangeError(why);
}

export function exit(): never {
  process.exit(7);
}

/** Noise by the compiled kernel of the thread. */
export function noise(of: {
  readonly seed: bigint;
  readonly sample: number;
  readonly step: number;
  readonly count: number;
}): Float64Array {
  const arena = createArena(1);
  const out = arena.float64(of.count);
  createNoise(arena, of.seed).fill(out, of.sample, of.step);
  return out.slice();
}
