/** Losses that drift up from those of another model, and those that do not. */
import { describe, expect, test } from '@jest/globals';
import { createDrift, type DriftState } from '../../../src/energy/feedback/drift.ts';
import { createRandom } from '../../../src/random.ts';

/** Place of the first alarm of a series of 512 pairs; the ACTIVE model's losses are scaled from a place on. */
function alarmAt(seed: number, scale: number, from: number): number | undefined {
  const random = createRandom(seed);
  const drift = createDrift();
  for (let at = 0; at < 512; at++) {
    const other = random.exponential();
    const own = random.exponential() * (at >= from ? scale : 1);
    if (drift.add(own, other)) return at;
  }
  return undefined;
}

describe('energy.feedback drift', () => {
  test('is seen soon after losses rise', () => {
    const alarms = Array.from({ length: 21 }, (_, seed) => alarmAt(seed, 8, 200) ?? 512).sort(
      (a, b) => a - b,
    );
    expect(alarms[2]).toBeGreaterThanOrEqual(200);
    expect(alarms[10]).toBeLessThan(240);
  });

  test('is not seen where losses fall, and hardly ever where they stay', () => {
    const count = (scale: number) =>
      Array.from({ length: 40 }, (_, seed) => alarmAt(100 + seed, scale, 200)).filter(
        (at) => at !== undefined,
      ).length;
    expect(count(1 / 8)).toBeLessThanOrEqual(3);
    expect(count(1)).toBeLessThanOrEqual(3);
  });

  test('goes on from its state with the same bits, and stands exact forecasts', () => {
    const random = createRandom(4);
    const pairs = Array.from({ length: 300 }, (_, at) => [
      random.exponential() * (at > 250 ? 20 : 1),
      at % 50 === 0 ? 0 : random.exponential(),
    ]);
    const straight = createDrift();
    const expected = pairs.map(([own, other]) => straight.add(own!, other!));
    expect(expected).toContain(true);
    let state: DriftState | undefined;
    const cut = pairs.map(([own, other]) => {
      const drift = createDrift(structuredClone(state));
      const alarm = drift.add(own!, other!);
      state = drift.state();
      return alarm;
    });
    expect(cut).toEqual(expected);
    expect(state).toEqual(straight.state());
  });
});
