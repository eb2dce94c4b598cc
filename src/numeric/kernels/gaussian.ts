/**
 * Kernels of Gaussian models: the update of a sampler's modes, whitening of many nodes at once, learning of their
 * covariances. Arrays are of the arena (RangeError otherwise) and hold finite values; results have the bits of the
 * plain loops (sums in rising order, every product and sum rounded on its own).
 */
import type { Arena } from './arena.ts';

/** Planes of real or imaginary parts, or of coefficients, all of one precision. */
type Plane = Float32Array | Float64Array;

/** A complex value per mode, in two planes. */
export interface Modes<P extends Plane> {
  readonly re: P;
  readonly im: P;
}

/** y = a x + b m + c z for each mode: real coefficients, complex terms. The last two may be left out. */
export interface ModeUpdate<P extends Plane> {
  readonly a: P;
  readonly x: Modes<P>;
  readonly mean?: { readonly b: P; readonly m: Modes<P> };
  readonly noise?: { readonly c: P; readonly z: Modes<P> };
}

/** One step of a sampler over as many modes as `a` has elements, to `out`, which may be `x`. O(modes). */
export function updateModes<P extends Plane>(arena: Arena, update: ModeUpdate<P>, out: Modes<P>): void {
  const { kernels } = arena;
  const { a, x, mean, noise } = update;
  const count = a.length;
  const at = (plane: P) => {
    if (plane instanceof Float32Array !== a instanceof Float32Array) throw new RangeError('two precisions');
    return arena.addressOf(plane, count);
  };
  const run = a instanceof Float32Array ? kernels.fused32 : kernels.fused64;
  for (const part of ['re', 'im'] as const) {
    const m = mean === undefined ? [0, 0] : [at(mean.b), at(mean.m[part])];
    const z = noise === undefined ? [0, 0] : [at(noise.c), at(noise.z[part])];
    run(count, at(a), at(x[part]), m[0]!, m[1]!, z[0]!, z[1]!, at(out[part]));
  }
}

/** Deviations of many nodes and the roots that whiten them. */
export interface Whitening {
  readonly nodes: number;
  /** Metrics of each node. */
  readonly size: number;
  /** P^-1/2 of each node, size x size and symmetric, one after the other; or one for all. */
  readonly roots: Float64Array;
  /** Deviations, `size` for each node. */
  readonly z: Float64Array;
}

/** Writes u = root z of each node and half its squared length, its energy. O(nodes size^2). */
export function whiten(
  arena: Arena,
  { nodes, size, roots, z }: Whitening,
  u: Float64Array,
  energies: Float64Array,
): void {
  const isShared = roots.length === size * size;
  arena.kernels.whiten(
    nodes,
    size,
    arena.addressOf(roots, isShared ? size * size : nodes * size * size),
    isShared ? 0 : 8 * size * size,
    arena.addressOf(z, nodes * size),
    arena.addressOf(u, nodes * size),
    arena.addressOf(energies, nodes),
  );
}

/** What many nodes learn from one window. */
export interface RankOneUpdate {
  readonly nodes: number;
  readonly size: number;
  /** Factors of the old covariance and of the new square, one a node. */
  readonly keep: Float64Array;
  readonly step: Float64Array;
  /** Deviations from the old mean, `size` for each node. */
  readonly deltas: Float64Array;
}

/**
 * S = keep S + step delta delta' in place, for packed lower triangles of size (size + 1) / 2 entries, row by row, one
 * after the other. O(nodes size^2).
 */
export function learnCovariances(arena: Arena, update: RankOneUpdate, covariances: Float64Array): void {
  const { nodes, size, keep, step, deltas } = update;
  arena.kernels.learn(
    nodes,
    size,
    arena.addressOf(covariances, (nodes * size * (size + 1)) / 2),
    arena.addressOf(keep, nodes),
    arena.addressOf(step, nodes),
    arena.addressOf(deltas, nodes * size),
  );
}
