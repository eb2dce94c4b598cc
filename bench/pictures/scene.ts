/**
 * The fleet of the pictures: 12 x 16 nodes whose power is a warm front that travels around, weather that comes and goes,
 * and noise; then a load that drifts upward; then feedback between neighbors that has become chaotic. Watts, one window of
 * 10 s a step. Seeded: the same steps on any machine.
 */
import { createRandom } from '../../src/random.ts';

export const ROWS = 12;
export const COLS = 16;
/** First window of each act, and the end. */
export const ACTS = { calm: 0, drift: 192, chaos: 256, end: 336 } as const;

/** Power of a node, W: the middle of everything. */
const BASE_WATTS = 120;
/** Height of the front, W, and steps it takes to come around. */
const FRONT = { watts: 25, period: 32 };
/** Deviation of the weather, W, and what it keeps from step to step. */
const WEATHER = { watts: 8, kept: 0.9 };
const NOISE_WATTS = 1;
/** Watts a step. */
const DRIFT_WATTS = 0.8;
/** Coupled logistic maps x -> 3.9 x (1 - x), a fifth of each from its four neighbors (Kaneko 1984). */
const CHAOS = { rate: 3.9, coupling: 0.2, watts: 90 };

/** Calls with the power of every node, row by row, for each step from 0. */
export function* scene(seed: number): Generator<Float64Array> {
  const random = createRandom(seed);
  const cells = ROWS * COLS;
  const weather = new Float64Array(cells);
  let lattice = Float64Array.from({ length: cells }, () => random.uniform());
  for (let step = 0; step < ACTS.end; step++) {
    const gust = smooth(Float64Array.from({ length: cells }, () => random.normal()));
    const fresh = WEATHER.watts * Math.sqrt(1 - WEATHER.kept ** 2);
    for (let cell = 0; cell < cells; cell++)
      weather[cell] = WEATHER.kept * weather[cell]! + fresh * gust[cell]!;
    if (step >= ACTS.chaos) lattice = iterate(lattice);
    const drifted = Math.max(0, Math.min(step, ACTS.chaos) - ACTS.drift) * DRIFT_WATTS;
    yield Float64Array.from({ length: cells }, (_, cell) => {
      const phase = 2 * Math.PI * ((cell % COLS) / COLS - step / FRONT.period);
      const law =
        step < ACTS.chaos
          ? FRONT.watts * Math.sin(phase) + weather[cell]!
          : CHAOS.watts * (lattice[cell]! - 0.5);
      return BASE_WATTS + drifted + law + NOISE_WATTS * random.normal();
    });
  }
}

/** Noise averaged with its neighbors three times over, brought back to unit deviation. */
function smooth(noise: Float64Array): Float64Array {
  let field = noise;
  for (let pass = 0; pass < 3; pass++) {
    const from = field;
    field = from.map((value, cell) => (2 * value + neighborSum(from, cell)) / 6);
  }
  const deviation = Math.sqrt(field.reduce((sum, value) => sum + value * value, 0) / field.length);
  return field.map((value) => value / deviation);
}

function iterate(lattice: Float64Array): Float64Array<ArrayBuffer> {
  const next = lattice.map((x) => CHAOS.rate * x * (1 - x));
  return Float64Array.from(
    next,
    (x, cell) => (1 - CHAOS.coupling) * x + (CHAOS.coupling * neighborSum(next, cell)) / 4,
  );
}

/** Sum of the four neighbors, edges joined. */
function neighborSum(field: Float64Array, cell: number): number {
  const [row, col] = [Math.floor(cell / COLS), cell % COLS];
  const at = (r: number, c: number) => field[((r + ROWS) % ROWS) * COLS + ((c + COLS) % COLS)]!;
  return at(row - 1, col) + at(row + 1, col) + at(row, col - 1) + at(row, col + 1);
}
