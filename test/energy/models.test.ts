/** The table of models: what they take, what they give, and what they refuse. */
import { describe, expect, test } from '@jest/globals';
import { listModels } from '../../src/energy/models.ts';
import type { Tensor } from '../../src/numeric/tensor.ts';
import { createRandom } from '../../src/random.ts';
import { createFakeClock } from '../support/fake-clock.ts';

const [ROWS, COLS] = [4, 5];
const signal = new AbortController().signal;

/** Maps of noise around 10. */
function maps(count: number): Tensor {
  const random = createRandom(3);
  const data = Float32Array.from({ length: count * ROWS * COLS }, () => 10 + random.normal());
  return { name: 'maps', datatype: 'FP32', shape: [count, ROWS, COLS], data };
}

describe('the models of energy', () => {
  const models = listModels({ clock: createFakeClock(), sliceMs: 1_000 });
  const model = (name: string) => models.find((each) => each.name === name)!;

  test('say by name and version what they take and give', () => {
    expect(models.map(({ name, version }) => `${name} ${version}`)).toEqual([
      'energy.regime 1',
      'energy.forecast 1',
    ]);
    for (const { inputs } of models)
      expect(inputs).toMatchObject([{ datatype: 'FP32', shape: [-1, -1, -1] }]);
  });

  test('a regime is a probability each', async () => {
    const [posterior] = await model('energy.regime').infer([maps(64)], signal);
    expect(posterior).toMatchObject({ name: 'posterior', datatype: 'FP64', shape: [5] });
    const sum = [...posterior!.data].reduce((total, each) => total + each, 0);
    expect(sum).toBeCloseTo(1, 12);
    expect(posterior!.data[0]).toBeGreaterThan(0.5);
  });

  test('a forecast is a map of the same shape, and of noise near its mean', async () => {
    const [next] = await model('energy.forecast').infer([maps(48)], signal);
    expect(next).toMatchObject({ name: 'prediction', shape: [ROWS, COLS] });
    const mean = [...next!.data].reduce((total, each) => total + each, 0) / (ROWS * COLS);
    expect(Math.abs(mean - 10)).toBeLessThan(0.5);
  });

  test.each([
    ['no tensor', undefined],
    ['another datatype', { ...maps(2), datatype: 'FP64' as const }],
    ['another shape', { ...maps(2), shape: [2, ROWS * COLS] }],
    ['a length that is not its shape', { ...maps(2), shape: [3, ROWS, COLS] }],
    ['a number that is none', { ...maps(2), data: maps(2).data.fill(Number.NaN) }],
  ])('refuse %s', async (_, tensor) => {
    for (const { infer } of models)
      await expect(infer(tensor ? [tensor] : [], signal)).rejects.toThrow(RangeError);
  });
});
