/** The compiled roll-out beside the law written out cell by cell. */
import { expect, test } from '@jest/globals';
import { createRollOut, rollOutBytes } from '../../../src/energy/forecast/roll-out.ts';
import { arenaFor } from '../../../src/numeric/kernels/arena.ts';
import { type BoundaryRule, ghostIndex } from '../../../src/numeric/stencil.ts';
import { createRandom } from '../../../src/random.ts';

interface Field {
  readonly rows: number;
  readonly cols: number;
  readonly boundary: BoundaryRule;
}

function stepped(cells: Float64Array, law: Float64Array, observed: Uint8Array, field: Field): Float64Array {
  const { rows, cols, boundary } = field;
  const seen = cells.filter((_, at) => observed[at] === 1);
  const mean = seen.reduce((sum, value) => sum + value, 0) / Math.max(1, seen.length);
  return cells.map((value, at) => {
    if (observed[at] === 0) return value;
    let change = law[25]!;
    for (let k = 0; k < 25; k++) {
      const row = ghostIndex(Math.floor(at / cols) + Math.floor(k / 5) - 2, rows, boundary);
      const col = ghostIndex((at % cols) + (k % 5) - 2, cols, boundary);
      change += law[k]! * ((row < 0 || col < 0 ? 0 : cells[row * cols + col]!) - mean);
    }
    return value + change;
  });
}

test.each(
  (['PERIODIC', 'NEUMANN', 'DIRICHLET'] as const).flatMap((boundary) =>
    [
      [1, 1],
      [1, 7],
      [9, 2],
      [16, 16],
      [33, 20],
    ].map(([rows, cols]) => [boundary, rows!, cols!] as const),
  ),
)('energy.forecast a roll-out is its law to 1e-12: %s, %i x %i', (boundary, rows, cols) => {
  const random = createRandom(31);
  const field = { rows, cols, boundary };
  const law = Float64Array.from({ length: 26 }, () => 0.03 * random.normal());
  for (const share of [1, 0.8]) {
    const observed = Uint8Array.from({ length: rows * cols }, () => (random.uniform() < share ? 1 : 0));
    let cells: Float64Array = Float64Array.from({ length: rows * cols }, () => 40 + random.normal());
    const rollOut = createRollOut(field, arenaFor(rollOutBytes(field)));
    rollOut.start(cells);
    for (let window = 0; window < 5; window++) {
      cells = stepped(cells, law, observed, field);
      rollOut.step(law, observed);
    }
    const size = cells.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    for (const [at, value] of rollOut.reached().entries())
      expect(Math.abs(value - cells[at]!)).toBeLessThan(1e-12 * size);
  }
});
