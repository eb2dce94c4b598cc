/**
 * Kernels of Gaussian models: the steps of a sampler's modes, whitening of many nodes at once, learning of their
 * covariances. Arrays are of the arena (RangeError otherwise) and hold finite values; results have the bits of the
 * plain loops (sums in rising order, every product and sum rounded on its own).
 */
import type { Arena } from './arena.ts';

/** A complex value per mode, in two planes of an even number of elements. */
export interface Modes {
  readonly re: Float64Array;
  readonly im: Float64Array;
}

/** Independent modes of known means and powers. */
export interface GaussianModes {
  readonly mean: Modes;
  /** At least 0. */
  readonly power: Float64Array;
}

/** out = a x + b x0 + c w, x0 being what the Gaussian expects behind a noisy `at`. */
export interface ModeStep {
  /** Share of signal in `at`, 0 or more and under 1: at = sqrt(level) x0 + sqrt(1 - level) noise. */
  readonly level: number;
  readonly at: Modes;
  readonly a: number;
  readonly x: Modes;
  readonly b: number;
  readonly c: number;
  /** Absent for none. */
  readonly w?: Modes | undefined;
  /** Takes x0 where it is given; may be any plane but `out`. */
  readonly kept?: Modes | undefined;
}

/** One step of a sampler, to `out`, which may be any of its planes. O(modes), one pass. */
export function stepModes(
  arena: Arena,
  { mean, power }: GaussianModes,
  { level, at, a, x, b, c, w, kept }: ModeStep,
  out: Modes,
): void {
  const place = placer(arena, power.length);
  const pair = (modes: Modes | undefined): [number, number] =>
    modes ? [place(modes.re), place(modes.im)] : [0, 0];
  arena.kernels.stepped(
    power.length,
    place(power),
    ...pair(mean),
    ...levelOf(level),
    ...pair(at),
    a,
    ...pair(x),
    b,
    c,
    ...pair(w),
    ...pair(out),
    ...pair(kept),
  );
}

/**
 * Takes x from one level of signal to another along the probability flow, in place: each mode's distance from its mean
 * goes with its standard deviation. Levels 0..1, the first under 1. O(modes).
 */
export function flowModes(
  arena: Arena,
  { mean, power }: GaussianModes,
  x: Modes,
  level: number,
  next: number,
): void {
  const place = placer(arena, power.length);
  const pair = ({ re, im }: Modes): [number, number] => [place(re), place(im)];
  const levels = [...levelOf(level), ...levelOf(next)] as const;
  arena.kernels.flowed(power.length, place(power), ...pair(mean), ...levels, ...pair(x));
}

function levelOf(level: number): [number, number, number] {
  return [level, 1 - level, Math.sqrt(level)];
}

/** Addresses of planes of `size` elements. RangeError for an odd number. */
function placer(arena: Arena, size: number): (plane: Float64Array) => number {
  if (size % 2 !== 0) throw new RangeError(`an odd number of modes, ${size}`);
  return (plane) => arena.addressOf(plane, size);
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
