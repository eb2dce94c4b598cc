/** Lattices of coupled logistic maps (K. Kaneko, Prog. Theor. Phys. 72, 480, 1984): x <- (1 - e) f(x) + e / 4 sum f(neighbors). */
import type { Random } from '../../src/random.ts';
import type { Field, Shape } from './field.ts';

export interface LogisticLaw extends Shape {
  /** f(x) = growth x (1 - x); 3.8 to 4 is chaotic but for narrow windows. */
  readonly growth: number;
  /** 0 to under 1. */
  readonly coupling: number;
}

/** Periodic, past its first 200 iterates. */
export function logisticField({ rows, cols, growth, coupling }: LogisticLaw, random: Random): Field {
  let cells = Float64Array.from({ length: rows * cols }, () => random.uniform());
  const iterate = () => {
    const f = cells.map((x) => growth * x * (1 - x));
    cells = cells.map((_, at) => {
      const [row, col] = [Math.floor(at / cols), at % cols];
      const around =
        f[((row + rows - 1) % rows) * cols + col]! +
        f[((row + 1) % rows) * cols + col]! +
        f[row * cols + ((col + cols - 1) % cols)]! +
        f[row * cols + ((col + 1) % cols)]!;
      return (1 - coupling) * f[at]! + (coupling / 4) * around;
    });
  };
  for (let burn = 0; burn < 200; burn++) iterate();
  return {
    rows,
    cols,
    boundary: 'PERIODIC',
    next() {
      iterate();
      return cells.slice();
    },
  };
}
