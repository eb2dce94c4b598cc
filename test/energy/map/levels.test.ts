/** Coarser levels of maps: block sums of what is observed. */
import { describe, expect, test } from '@jest/globals';
import { createLevels } from '../../../src/energy/map/levels.ts';
import { coarserShape } from '../../../src/numeric/kernels/grid-plan.ts';
import { createRandom } from '../../../src/random.ts';
import { relativeError } from '../../numeric/support/arrays.ts';
import { blockSum } from '../../numeric/support/plain-block-sum.ts';

describe('levels', () => {
  const random = createRandom(5);
  const levels = createLevels();

  test.each([
    [7, 10],
    [1, 9],
    [7, 10],
    [64, 64],
  ])('of %d x %d cells are block sums of block sums, down to one cell', (rows, cols) => {
    const cells = Float32Array.from({ length: rows * cols }, () => random.normal());
    const observed = Uint8Array.from(cells, () => (random.uniform() < 0.8 ? 1 : 0));
    let plain = { rows, cols, cells: new Float64Array(cells), observed };
    for (let level = 0; level <= 8; level++) {
      const found = levels.coarser({ rows, cols, cells, observed }, level);
      expect({ ...found, cells: undefined }).toMatchObject({ ...plain, cells: undefined });
      expect(relativeError(found.cells, plain.cells)).toBeLessThan(1e-14);
      if (plain.cells.length === 1) continue;
      const shape = coarserShape(plain.rows, plain.cols);
      const next = {
        ...shape,
        cells: new Float64Array(shape.rows * shape.cols),
        observed: new Uint8Array(shape.rows * shape.cols),
      };
      blockSum(plain.cells, plain.observed, plain.rows, plain.cols, next.cells, next.observed);
      plain = next;
    }
  });

  test('belong to who asked for them', () => {
    const map = { rows: 2, cols: 2, cells: [1, 2, 3, 4], observed: new Uint8Array(4).fill(1) };
    const first = levels.coarser(map, 1);
    levels.coarser({ ...map, cells: [5, 6, 7, 8] }, 1);
    expect([...first.cells]).toEqual([10]);
  });
});
