import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { createRandom } from '../../src/random.ts';
import { calmDemand } from '../../src/simulation/demand.ts';
import {
  balancingDemand,
  calmLoad,
  createSharedLoad,
  FOLD,
  recoveryRate,
  SATURATED_LOAD,
} from '../../src/simulation/load.ts';

const calm = calmDemand(0);
const underTheFold = fc.double({ min: calm, max: FOLD.offered, noNaN: true });
const stillness = { ...createRandom(0), normal: () => 0 };

/** Demand that balances loads close together, from one to another: the greatest or the least. */
function extreme(pick: (...values: number[]) => number, from: number, to: number): number {
  return pick(...Array.from({ length: 1_001 }, (_, i) => balancingDemand(from + ((to - from) * i) / 1_000)));
}

describe('the load that a fleet shares', () => {
  test('has, under the fold, a calm state that its demand holds in balance and that recovers', () => {
    fc.assert(
      fc.property(underTheFold, (offered) => {
        const load = calmLoad(offered);
        expect(load).toBeLessThanOrEqual(FOLD.load);
        expect(balancingDemand(load)).toBeCloseTo(offered, 12);
        expect(recoveryRate(load)).toBeGreaterThanOrEqual(-1e-9);
      }),
    );
  });

  test('recovers ever more slowly towards the fold, and not at all there', () => {
    const rates = [0.34, 0.4, 0.45, 0.5, 0.55, 0.6, 0.63, FOLD.load].map(recoveryRate);
    for (let i = 1; i < rates.length; i++) expect(rates[i]!).toBeLessThan(rates[i - 1]!);
    expect(rates.at(-1)).toBeCloseTo(0, 12);
    expect(recoveryRate(FOLD.load + 0.01)).toBeLessThan(0);
  });

  test('beyond the fold is held by nothing short of overload', () => {
    expect(extreme(Math.max, 0, 0.95)).toBeLessThanOrEqual(FOLD.offered + 1e-12);
    const load = createSharedLoad(stillness, FOLD.offered);
    let last = 0;
    for (let second = 0; second < 3_600; second++) last = load.next(FOLD.offered + 0.02);
    expect(last).toBe(SATURATED_LOAD);
  });

  test('stays overloaded under demand it had carried calmly, and recovers under calm demand', () => {
    const carried = FOLD.offered - 0.01;
    expect(calmLoad(carried)).toBeLessThan(0.6);
    const load = createSharedLoad(stillness, calm);
    const afterHour = (offered: number) => {
      let last = 0;
      for (let second = 0; second < 3_600; second++) last = load.next(offered);
      return last;
    };
    expect(afterHour(carried)).toBeCloseTo(calmLoad(carried), 3);
    expect(afterHour(FOLD.offered + 0.1)).toBe(SATURATED_LOAD);
    expect(afterHour(carried)).toBeGreaterThan(0.9);
    expect(afterHour(calm)).toBeCloseTo(calmLoad(calm), 3);
  });

  test('forgets a small disturbance at the recovery rate of its calm state', () => {
    for (const offered of [calm, FOLD.offered - 0.02, FOLD.offered - 0.005]) {
      const load = createSharedLoad(stillness, offered);
      const rest = calmLoad(offered);
      load.next(offered + 0.02);
      const first = load.next(offered) - rest;
      for (let second = 0; second < 100; second++) load.next(offered);
      const last = load.next(offered) - rest;
      expect(Math.log(first / last) / 101 / recoveryRate(rest)).toBeCloseTo(1, 1);
    }
  });

  test('fluctuates the more the slower it recovers', () => {
    const variance = (offered: number) => {
      const load = createSharedLoad(createRandom(1), offered);
      const values = Array.from({ length: 40_000 }, () => load.next(offered));
      const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
      return values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length;
    };
    const nearer = FOLD.offered - 0.02;
    // Of an Ornstein-Uhlenbeck process the variance times the recovery rate is the same whatever the rate.
    const scale = recoveryRate(calmLoad(nearer)) / recoveryRate(calmLoad(calm));
    expect((variance(nearer) * scale) / variance(calm)).toBeGreaterThan(0.75);
    expect((variance(nearer) * scale) / variance(calm)).toBeLessThan(1.3);
    expect(scale).toBeLessThan(0.5);
  });

  test('begins in balance and repeats itself for the same random numbers', () => {
    const first = createSharedLoad(createRandom(7), calm);
    const second = createSharedLoad(createRandom(7), calm);
    expect(createSharedLoad(stillness, calm).next(calm)).toBeCloseTo(calmLoad(calm), 12);
    for (let i = 0; i < 1_000; i++) expect(second.next(calm)).toBe(first.next(calm));
  });
});
