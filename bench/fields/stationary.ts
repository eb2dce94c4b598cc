/**
 * Stationary random fields: Gaussian ones with memory in time and reach in space, the same with other marginal laws, on a
 * still background or moving, and fleets of machines: few nodes, each with its own level, that share some of their load.
 */
import type { Random } from '../../src/random.ts';
import { between, deviationOf, type Field, oneOf, type Shape } from './field.ts';

export interface GaussianLaw extends Shape {
  /** Correlation with the map before, 0 to under 1. */
  readonly memory: number;
  /** Rounds of averaging with the neighbors: correlation reaches about its root in cells. */
  readonly smoothing: number;
}

/** Zero mean, unit variance, periodic. */
export function gaussianField(law: GaussianLaw, random: Random): Field {
  const { rows, cols, memory, smoothing } = law;
  const fresh = () => {
    let cells: Float64Array = Float64Array.from({ length: rows * cols }, () => random.normal());
    for (let round = 0; round < smoothing; round++) cells = averaged(cells, law);
    // The variance left by the rounds of a white field, up to what a small side adds.
    const scale = 1 / Math.sqrt(smoothedVariance(law));
    return cells.map((value) => value * scale);
  };
  let now: Float64Array | undefined;
  return {
    rows,
    cols,
    boundary: 'PERIODIC',
    next() {
      const noise = fresh();
      const share = Math.sqrt(1 - memory * memory);
      const before = now;
      now = before ? noise.map((value, at) => memory * before[at]! + share * value) : noise;
      return now.slice();
    },
  };
}

function averaged(cells: Float64Array, { rows, cols }: Shape): Float64Array {
  const out = new Float64Array(cells.length);
  for (let row = 0; row < rows; row++) {
    const [up, down] = [((row + rows - 1) % rows) * cols, ((row + 1) % rows) * cols];
    for (let col = 0; col < cols; col++) {
      const [left, right] = [(col + cols - 1) % cols, (col + 1) % cols];
      const own = row * cols + col;
      out[own] =
        0.5 * cells[own]! +
        0.125 *
          (cells[up + col]! + cells[down + col]! + cells[row * cols + left]! + cells[row * cols + right]!);
    }
  }
  return out;
}

/** Sum of squares of what one cell becomes. */
function smoothedVariance({ rows, cols, smoothing }: GaussianLaw): number {
  let cells: Float64Array = new Float64Array(rows * cols);
  cells[0] = 1;
  for (let round = 0; round < smoothing; round++) cells = averaged(cells, { rows, cols });
  return cells.reduce((sum, value) => sum + value * value, 0);
}

/** Other laws of a cell, made from a standard normal one. */
export const MARGINALS: Readonly<Record<string, (value: number) => number>> = {
  normal: (value) => value,
  lognormal: (value) => Math.exp(0.8 * value),
  square: (value) => 0.5 * value * value,
  cubic: (value) => value * value * value,
};

export function withMarginal(field: Field, marginal: (value: number) => number): Field {
  return { ...field, next: () => field.next().map(marginal) };
}

/** The field on a still background of the given deviation. */
export function onBackground(field: Field, deviation: number, random: Random): Field {
  const background = Float64Array.from(
    { length: field.rows * field.cols },
    () => deviation * random.normal(),
  );
  return { ...field, next: () => field.next().map((value, at) => value + background[at]!) };
}

/** The field with one cell of some maps, a `share` of them, raised by 3 to 15 deviations of the first map. */
export function withIncidents(field: Field, share: number, random: Random): Field {
  let deviation: number | undefined;
  return {
    ...field,
    next() {
      const cells = field.next();
      deviation ??= deviationOf(cells) || 1;
      if (random.uniform() < share) {
        const at = random.below(cells.length);
        cells[at] = cells[at]! + between(random, 3, 15) * deviation;
      }
      return cells;
    },
  };
}

/** A smooth still pattern that moves by whole cells, one every `every` maps, under the noise of a field. */
export function movingPattern(noise: Field, size: number, every: number, random: Random): Field {
  const { rows, cols } = noise;
  const pattern = gaussianField({ rows, cols, memory: 0, smoothing: 6 }, random).next();
  let at = 0;
  return {
    ...noise,
    next() {
      const shift = Math.floor(at++ / every);
      return noise.next().map((value, cell) => {
        const [row, col] = [Math.floor(cell / cols), (cell + shift) % cols];
        return value + size * pattern[row * cols + col]!;
      });
    },
  };
}

/** Half the squared length of `metrics` whitened metrics of each node, which share part of their swings. */
export function statisticalFleet(shape: Shape, random: Random): Field {
  const metrics = 1 + random.below(8);
  const memory = oneOf(random, [0, 0, 0.3, 0.6, 0.8]);
  const shared = oneOf(random, [0, 0, 0.3, 0.6]);
  const own = Array.from({ length: metrics }, () =>
    gaussianField({ ...shape, memory, smoothing: 0 }, random),
  );
  const common = Array.from({ length: metrics }, () =>
    gaussianField({ rows: 1, cols: 1, memory, smoothing: 0 }, random),
  );
  return {
    ...shape,
    boundary: 'NEUMANN',
    next() {
      const out = new Float64Array(shape.rows * shape.cols);
      for (const [metric, field] of own.entries()) {
        const together = common[metric]!.next()[0]!;
        for (const [at, value] of field.next().entries())
          out[at] = out[at]! + 0.5 * (Math.sqrt(1 - shared * shared) * value + shared * together) ** 2;
      }
      return out;
    },
  };
}

/**
 * Joules of nodes with levels of their own, small swings, a shared load, and a day too slow to matter in a few hundred
 * windows; or none, where there are to be more.
 */
export function physicalFleet(shape: Shape, random: Random, hasDay = true): Field {
  const nodes = shape.rows * shape.cols;
  const levels = Float64Array.from({ length: nodes }, () => 1000 * Math.exp(0.5 * random.normal()));
  const swing = oneOf(random, [0.01, 0.03, 0.1]);
  const memory = oneOf(random, [0, 0.3, 0.6, 0.8]);
  const shared = oneOf(random, [0, 0.3, 1]) * swing;
  const tilt = between(random, -0.3, 0.3) * (hasDay ? swing : 0);
  const own = gaussianField({ ...shape, memory, smoothing: 0 }, random);
  const load = gaussianField({ rows: 1, cols: 1, memory, smoothing: 0 }, random);
  let at = 0;
  return {
    ...shape,
    boundary: 'NEUMANN',
    next() {
      const together = shared * load.next()[0]! + (tilt * at++) / 64;
      return own.next().map((value, node) => levels[node]! * (1 + swing * value + together));
    },
  };
}
