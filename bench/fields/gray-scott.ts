/**
 * Settled patterns of the Gray-Scott reaction (J. Pearson, Science 261, 1993): a_t = d_a lap a - a b^2 + f (1 - a), b_t =
 * d_b lap b + a b^2 - (f + k) b, explicit steps on a periodic grid of unit spacing. Maps are of b, which no longer changes
 * but for noise.
 */
import { createRandom, type Random } from '../../src/random.ts';
import { type Field, oneOf } from './field.ts';

/** Feed and kill rates whose patterns come to rest: spots, maze, worms. */
const LAWS: readonly (readonly [number, number])[] = [
  [0.03, 0.062],
  [0.029, 0.057],
  [0.058, 0.065],
];
/** Small enough that a pattern of ten cells a wave fits on small grids. */
const [DIFFUSION_A, DIFFUSION_B] = [0.1, 0.05];
const STEPS = 6000;

const settled = new Map<string, Float64Array>();

/** A settled pattern of side x side cells; each of a few seeds is computed once and then turned and moved. */
export function grayScottField(side: number, random: Random): Field {
  const law = oneOf(random, LAWS);
  const seed = random.below(2);
  const key = `${side} ${law} ${seed}`;
  let pattern = settled.get(key);
  if (pattern === undefined) {
    pattern = settle(side, law, createRandom(seed, side));
    settled.set(key, pattern);
  }
  const [down, across, isTurned] = [random.below(side), random.below(side), random.uniform() < 0.5];
  const cells = Float64Array.from({ length: side * side }, (_, at) => {
    const [row, col] = [(Math.floor(at / side) + down) % side, ((at % side) + across) % side];
    return isTurned ? pattern[col * side + row]! : pattern[row * side + col]!;
  });
  return { rows: side, cols: side, boundary: 'PERIODIC', next: () => cells.slice() };
}

function settle(side: number, [feed, kill]: readonly [number, number], random: Random): Float64Array {
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
  for (let step = 0; step < STEPS; step++) {
    for (let row = 0; row < side; row++) {
      const [up, down] = [((row + side - 1) % side) * side, ((row + 1) % side) * side];
      for (let col = 0; col < side; col++) {
        const at = row * side + col;
        const [left, right] = [row * side + ((col + side - 1) % side), row * side + ((col + 1) % side)];
        const lapA = a[up + col]! + a[down + col]! + a[left]! + a[right]! - 4 * a[at]!;
        const lapB = b[up + col]! + b[down + col]! + b[left]! + b[right]! - 4 * b[at]!;
        const reaction = a[at]! * b[at]! * b[at]!;
        nextA[at] = a[at]! + DIFFUSION_A * lapA - reaction + feed * (1 - a[at]!);
        nextB[at] = b[at]! + DIFFUSION_B * lapB + reaction - (feed + kill) * b[at]!;
      }
    }
    [a, nextA] = [nextA, a];
    [b, nextB] = [nextB, b];
  }
  return b;
}
