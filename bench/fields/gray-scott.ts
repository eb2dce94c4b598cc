/**
 * Patterns of the Gray-Scott reaction (J. Pearson, Science 261, 1993): a_t = d_a lap a - a b^2 + f (1 - a), b_t = d_b lap b
 * + a b^2 - (f + k) b with d_a = 2e-5 and d_b = 1e-5, explicit steps of one unit of time. The square [-1, 1]^2 is some 141
 * cells a side; a grid of fewer is a periodic piece of it. Maps are of b.
 */
import { createRandom, type Random } from '../../src/random.ts';
import { type Field, oneOf } from './field.ts';

/** Feed and kill rates f and k, by what they make. */
export const REACTIONS = {
  gliders: { feed: 0.014, kill: 0.054 },
  bubbles: { feed: 0.098, kill: 0.057 },
  maze: { feed: 0.029, kill: 0.057 },
  worms: { feed: 0.058, kill: 0.065 },
  spirals: { feed: 0.018, kill: 0.051 },
  spots: { feed: 0.03, kill: 0.062 },
} as const;
export type ReactionName = keyof typeof REACTIONS;

/** Those whose patterns come to rest within the steps below, so that maps no longer change but for noise. */
const RESTING: readonly ReactionName[] = ['spots', 'maze', 'worms'];
const [DIFFUSION_A, DIFFUSION_B] = [2e-5, 1e-5];
/** Area of a cell, 2 / 141.4 squared: ten cells to a wave. */
const CELL_AREA = 2e-4;
const STEPS = 6000;

/** A reaction on side x side cells, periodic, begun from spots of b in a sea of a. */
export interface Reaction {
  /** The concentrations, row-major; borrowed until the next step. */
  a(): Float64Array;
  b(): Float64Array;
  /** Goes on by as many units of time. O(cells) each. */
  run(steps: number): void;
}

const settled = new Map<string, Float64Array>();

/** A settled pattern of side x side cells; each of a few seeds is computed once and then turned and moved. */
export function grayScottField(side: number, random: Random): Field {
  const name = oneOf(random, RESTING);
  const seed = random.below(2);
  const key = `${side} ${name} ${seed}`;
  let pattern = settled.get(key);
  if (pattern === undefined) {
    const reaction = createReaction(name, side, createRandom(seed, side));
    reaction.run(STEPS);
    pattern = reaction.b();
    settled.set(key, pattern);
  }
  const [down, across, isTurned] = [random.below(side), random.below(side), random.uniform() < 0.5];
  const cells = Float64Array.from({ length: side * side }, (_, at) => {
    const [row, col] = [(Math.floor(at / side) + down) % side, ((at % side) + across) % side];
    return isTurned ? pattern[col * side + row]! : pattern[row * side + col]!;
  });
  return { rows: side, cols: side, boundary: 'PERIODIC', next: () => cells.slice() };
}

export function createReaction(name: ReactionName, side: number, random: Random): Reaction {
  const { feed, kill } = REACTIONS[name];
  const size = side * side;
  let [a, b] = [new Float64Array(size).fill(1), new Float64Array(size)];
  let [nextA, nextB] = [new Float64Array(size), new Float64Array(size)];
  for (let spot = 0; spot < Math.max(2, size / 100); spot++) {
    const [row, col] = [random.below(side), random.below(side)];
    for (let i = 0; i < 25; i++) {
      const at = ((row + Math.floor(i / 5)) % side) * side + ((col + (i % 5)) % side);
      a[at] = 0.5;
      b[at] = 0.4 + 0.2 * random.uniform();
    }
  }
  const [numberA, numberB] = [DIFFUSION_A / CELL_AREA, DIFFUSION_B / CELL_AREA];
  const step = () => {
    for (let row = 0; row < side; row++) {
      const [up, down] = [((row + side - 1) % side) * side, ((row + 1) % side) * side];
      for (let col = 0; col < side; col++) {
        const at = row * side + col;
        const [left, right] = [row * side + ((col + side - 1) % side), row * side + ((col + 1) % side)];
        const lapA = a[up + col]! + a[down + col]! + a[left]! + a[right]! - 4 * a[at]!;
        const lapB = b[up + col]! + b[down + col]! + b[left]! + b[right]! - 4 * b[at]!;
        const reaction = a[at]! * b[at]! * b[at]!;
        nextA[at] = a[at]! + numberA * lapA - reaction + feed * (1 - a[at]!);
        nextB[at] = b[at]! + numberB * lapB + reaction - (feed + kill) * b[at]!;
      }
    }
    [a, nextA] = [nextA, a];
    [b, nextB] = [nextB, b];
  };
  return {
    a: () => a,
    b: () => b,
    run(steps) {
      for (let done = 0; done < steps; done++) step();
    },
  };
}
