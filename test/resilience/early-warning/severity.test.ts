import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  holm,
  type MetricEvidence,
  metricSeverity,
  severityRank,
  signalSeverity,
  worstSeverity,
} from '../../../src/resilience/early-warning/severity.ts';

const ALPHA = 0.05;

/** Evidence in which recovery has slowed to these shares of the reference. */
function evidence(
  pAdjusted: readonly number[],
  slowed: readonly [first: number, second: number] = [1, 1],
  limitMargin?: number,
): MetricEvidence {
  const reference = { lagOne: 0.5, recoveryRate: 0.01, recoveryRate2: 0.02 };
  const present = { lagOne: 0.8, recoveryRate: 0.01 * slowed[0], recoveryRate2: 0.02 * slowed[1] };
  return { pAdjusted, present, reference, ...(limitMargin !== undefined && { limitMargin }) };
}

describe("Holm's correction", () => {
  test('agrees with numbers worked by hand', () => {
    // Ascending .005, .01, .03, .04 times 4, 3, 2, 1: .02, .03, .06, .04, the last raised to .06.
    const adjusted = holm([0.01, 0.04, 0.03, 0.005]);
    [0.03, 0.06, 0.06, 0.02].forEach((expected, index) => {
      expect(adjusted[index]).toBeCloseTo(expected, 12);
    });
    expect(holm([0.6, 0.7])).toEqual([1, 1]);
    expect(holm([0.02])).toEqual([0.02]);
    expect(holm([])).toEqual([]);
  });

  test('keeps the order of the p-values, lowers none and does not depend on their order', () => {
    fc.assert(
      fc.property(fc.array(fc.double({ min: 1e-6, max: 1, noNaN: true }), { maxLength: 12 }), (pValues) => {
        const adjusted = holm(pValues);
        pValues.forEach((p, i) => {
          expect(adjusted[i]).toBeGreaterThanOrEqual(p);
          pValues.forEach((other, j) => {
            if (p < other) expect(adjusted[i]).toBeLessThanOrEqual(adjusted[j]!);
          });
        });
        expect(holm([...pValues].reverse()).reverse()).toEqual(adjusted);
      }),
    );
  });
});

describe('the severity of a metric', () => {
  const examples: ReadonlyArray<readonly [string, MetricEvidence, string]> = [
    ['nothing found', evidence([0.06, 0.9]), 'NORMAL'],
    ['nothing found, however slow the recovery', evidence([0.06, 0.9], [0.1, 0.1], 0.01), 'NORMAL'],
    ['one family at alpha', evidence([0.05, 0.9]), 'ELEVATED'],
    ['one family at alpha and slow recovery', evidence([0.02, 0.9], [0.1, 0.1], 0.01), 'ELEVATED'],
    ['two families', evidence([0.05, 0.04]), 'HIGH'],
    ['strong evidence of one', evidence([0.9, 0.01]), 'HIGH'],
    ['strong evidence, second recovery rate kept', evidence([0.01, 0.9], [0.4, 0.8]), 'HIGH'],
    ['strong evidence, first recovery rate kept', evidence([0.01, 0.9], [0.6, 0.2]), 'HIGH'],
    ['strong evidence and half the recovery lost', evidence([0.01, 0.9], [0.5, 0.75]), 'CRITICAL'],
    ['critical, far from the limit', evidence([0.001, 0.9], [0.2, 0.2], 0.1), 'CRITICAL'],
    ['critical, close to the limit', evidence([0.001, 0.9], [0.2, 0.2], 0.099), 'IMMINENT'],
    ['critical, past the limit', evidence([0.001, 0.9], [0.2, 0.2], 0), 'IMMINENT'],
  ];
  test.each(examples)('%s', (_what, given, severity) => {
    expect(metricSeverity(given, ALPHA)).toBe(severity);
  });

  test('strong evidence is never weaker than alpha', () => {
    expect(metricSeverity(evidence([0.008, 0.9]), 0.005)).toBe('NORMAL');
    expect(metricSeverity(evidence([0.005, 0.9]), 0.005)).toBe('HIGH');
  });

  test('a recovery rate that was not positive, or is unknown, is not lost', () => {
    const none = { lagOne: 1, recoveryRate: 0, recoveryRate2: 0 };
    const unknown = { lagOne: 0.8, recoveryRate: Number.NaN, recoveryRate2: Number.NaN };
    const { present, reference } = evidence([0.001], [0.2, 0.2]);
    expect(metricSeverity({ pAdjusted: [0.001], present: none, reference: none }, ALPHA)).toBe('HIGH');
    expect(metricSeverity({ pAdjusted: [0.001], present: unknown, reference }, ALPHA)).toBe('HIGH');
    expect(metricSeverity({ pAdjusted: [0.001], present, reference: unknown }, ALPHA)).toBe('HIGH');
  });
});

test('a test carries the severity of its metric only with strong evidence of its own', () => {
  expect(signalSeverity(0.005, 'CRITICAL', ALPHA)).toBe('CRITICAL');
  expect(signalSeverity(0.03, 'CRITICAL', ALPHA)).toBe('ELEVATED');
  expect(signalSeverity(0.06, 'CRITICAL', ALPHA)).toBe('NORMAL');
});

test('the worst severity is the highest known one', () => {
  expect(worstSeverity(['NORMAL', 'UNKNOWN', 'HIGH', 'ELEVATED'])).toBe('HIGH');
  expect(worstSeverity(['UNKNOWN', 'NORMAL'])).toBe('NORMAL');
  expect(worstSeverity(['UNKNOWN'])).toBe('UNKNOWN');
  expect(worstSeverity([])).toBe('UNKNOWN');
  expect(
    (['UNKNOWN', 'NORMAL', 'ELEVATED', 'HIGH', 'CRITICAL', 'IMMINENT'] as const).map(severityRank),
  ).toEqual([-1, 0, 1, 2, 3, 4]);
});
