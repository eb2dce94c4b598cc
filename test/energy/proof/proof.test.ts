/** What checks amount to: every rule of verdict and quality. */
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { type Check, type CheckKind, judged } from '../../../src/energy/proof/check.ts';
import { conclude, qualityOf } from '../../../src/energy/proof/proof.ts';

const of = (kind: CheckKind, value: number | undefined): Check =>
  judged(kind, value === undefined ? undefined : { value, detail: 'amiss' });
const sound = of('PROVENANCE', 0);

describe('a verdict', () => {
  test('energy.proof of a map of which less than half was observed is INCONCLUSIVE, REFUTED where it was before', () => {
    const checks = [of('REGIME', 0), sound];
    expect(conclude('CLAIM', checks, 0.5)).toEqual({ verdict: 'VERIFIED', quality: 1 });
    expect(conclude('CLAIM', checks, 0.499)).toEqual({ verdict: 'INCONCLUSIVE', quality: 1 });
    expect(conclude('CLAIM', [of('REGIME', 1), sound], 0.1).verdict).toBe('REFUTED');
  });

  test.each([
    ['a claim whose regime is probable', 'CLAIM', [of('REGIME', 0.1)], 'VERIFIED'],
    ['a claim with other checks that pass', 'CLAIM', [of('REGIME', 0.1), of('BOUNDS', 0)], 'VERIFIED'],
    ['a claim with bounds broken', 'CLAIM', [of('REGIME', 0.1), of('BOUNDS', 0.1)], 'INCONCLUSIVE'],
    ['a claim less probable than a half', 'CLAIM', [of('REGIME', 0.6)], 'INCONCLUSIVE'],
    ['such a claim with bounds broken', 'CLAIM', [of('REGIME', 0.6), of('BOUNDS', 0.1)], 'INCONCLUSIVE'],
    ['such a claim with its budget broken', 'CLAIM', [of('REGIME', 0.6), of('ENERGY_BUDGET', 1)], 'REFUTED'],
    ['a claim of probability 0.1', 'CLAIM', [of('REGIME', 1 - 0.1)], 'REFUTED'],
    ['a claim no judge looked at', 'CLAIM', [of('REGIME', undefined)], 'INCONCLUSIVE'],
    ['a prediction that came true', 'PREDICTION', [of('POINTWISE', 0.1)], 'VERIFIED'],
    ['a prediction that did not', 'PREDICTION', [of('POINTWISE', 0.51)], 'REFUTED'],
    [
      'a prediction with another spectrum',
      'PREDICTION',
      [of('POINTWISE', 0.1), of('SPECTRUM', 1)],
      'INCONCLUSIVE',
    ],
    [
      'a prediction with its budget broken',
      'PREDICTION',
      [of('POINTWISE', 0.1), of('ENERGY_BUDGET', 1)],
      'REFUTED',
    ],
    ['a prediction of nothing observed', 'PREDICTION', [of('POINTWISE', undefined)], 'INCONCLUSIVE'],
    [
      'a prediction of poor quality throughout',
      'PREDICTION',
      [of('POINTWISE', 0.5), of('SPECTRUM', 0.5)],
      'INCONCLUSIVE',
    ],
  ] as const)('on %s', (_name, mode, checks, verdict) => {
    expect(conclude(mode, [...checks, sound]).verdict).toBe(verdict);
  });

  test('is never VERIFIED without an origin that holds', () => {
    const checks = [of('REGIME', 0.1)];
    expect(conclude('CLAIM', checks).verdict).toBe('INCONCLUSIVE');
    expect(conclude('CLAIM', [...checks, of('PROVENANCE', 1)]).verdict).toBe('REFUTED');
    expect(conclude('CLAIM', [of('REGIME', 0.6), of('PROVENANCE', 1)]).verdict).toBe('REFUTED');
  });

  test('of a claim does not ask for a prediction, nor of a prediction for a claim', () => {
    expect(conclude('CLAIM', [of('REGIME', 0.1), of('POINTWISE', 0.9), sound]).verdict).toBe('INCONCLUSIVE');
    expect(conclude('PREDICTION', [of('POINTWISE', 0.1), of('REGIME', 0.95), sound]).verdict).toBe(
      'INCONCLUSIVE',
    );
  });
});

describe('a quality', () => {
  test('is the weighted geometric mean of scores', () => {
    // s = 1 - 0.5 (0.2 / 0.5)^2 = 0.92 with weight 2, 1 - 0.5 (0.25 / 0.5)^2 = 0.875 with weight 3, and 1 with weight 1.
    const quality = qualityOf([of('SPECTRUM', 0.2), of('POINTWISE', 0.25), sound]);
    expect(quality).toBeCloseTo((0.92 ** 2 * 0.875 ** 3) ** (1 / 6), 12);
    expect(qualityOf([sound])).toBe(1);
    expect(qualityOf([])).toBe(0);
    expect(qualityOf([of('POINTWISE', undefined), sound])).toBe(1);
  });

  test('of what fails by sqrt(2) of its threshold, or has a fault of origin, is 0', () => {
    expect(qualityOf([of('POINTWISE', 0.5 * Math.SQRT2), sound])).toBeCloseTo(0, 3);
    expect(qualityOf([of('POINTWISE', 0.8), sound])).toBe(0);
    expect(qualityOf([of('POINTWISE', 0), of('PROVENANCE', 1)])).toBe(0);
    expect(qualityOf([of('BOUNDS', 1e-9), sound])).toBe(0);
  });

  test('lies in 0..1, and falls with every value', () => {
    const kinds = fc.constantFrom<CheckKind>('ENERGY_BUDGET', 'SPECTRUM', 'POINTWISE', 'INTERVAL', 'REGIME');
    const checks = fc.array(fc.tuple(kinds, fc.double({ min: 0, max: 2, noNaN: true })), { minLength: 1 });
    fc.assert(
      fc.property(checks, fc.nat(), (given, place) => {
        const made = given.map(([kind, value]) => of(kind, value));
        const quality = qualityOf(made);
        expect(quality).toBeGreaterThanOrEqual(0);
        expect(quality).toBeLessThanOrEqual(1);
        const at = place % given.length;
        const worse = made.with(at, of(given[at]![0], given[at]![1] + 0.1));
        expect(qualityOf(worse)).toBeLessThanOrEqual(quality);
      }),
    );
  });
});
