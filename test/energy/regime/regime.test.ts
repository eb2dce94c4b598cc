/** Posteriors from logits, and the label that follows them slowly. */
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  heldLabel,
  likeliest,
  NO_LABEL,
  posteriorOf,
  REGIMES,
  WARMING_UP,
} from '../../../src/energy/regime/regime.ts';
import { regimeFromProto, regimeToProto } from '../../../src/energy/regime/regime-message.ts';
import { Regime } from '../../../src/gen/homeostat/energy/v1/energy_service_pb.ts';

/** Labels after each of the posteriors, from EQUILIBRIUM on. */
function labels(posteriors: readonly (readonly number[])[]): string[] {
  let held = { ...NO_LABEL, label: 'EQUILIBRIUM' as const } as typeof NO_LABEL;
  return posteriors.map((posterior) => {
    held = heldLabel(held, posterior);
    return held.label;
  });
}
const lead = (transition: number) => [1 - transition, transition, 0, 0, 0];

describe('posteriors', () => {
  test('sum to 1 whatever the logits and the temperature', () => {
    const logits = fc.array(fc.double({ min: -1e3, max: 1e3, noNaN: true }), { minLength: 4, maxLength: 4 });
    fc.assert(
      fc.property(logits, fc.double({ min: 0.25, max: 4, noNaN: true }), (given, temperature) => {
        const posterior = posteriorOf(given, temperature);
        expect(posterior).toHaveLength(REGIMES.length);
        expect(posterior.reduce((sum, p) => sum + p, 0)).toBeCloseTo(1, 12);
        expect(posterior[4]).toBe(0);
        expect(posterior[given.indexOf(Math.max(...given))]).toBe(Math.max(...posterior));
      }),
    );
  });

  test('are evened out by a high temperature and sharpened by a low one', () => {
    const at = (temperature: number) => posteriorOf([2, 0, 0, 0], temperature)[0]!;
    expect(at(0.25)).toBeGreaterThan(at(1));
    expect(at(4)).toBeLessThan(at(1));
    expect(at(1)).toBeCloseTo(Math.exp(2) / (Math.exp(2) + 3), 12);
  });

  test('are in the order of the contract', () => {
    expect(REGIMES.map(regimeToProto)).toEqual([1, 2, 3, 4, 5]);
    expect(REGIMES.map((name) => regimeFromProto(regimeToProto(name)))).toEqual([...REGIMES]);
    expect(regimeFromProto(Regime.UNSPECIFIED)).toBeUndefined();
  });
});

describe('the label', () => {
  test('changes once another regime led by 0.15 for three windows', () => {
    expect(labels([lead(0.6), lead(0.6), lead(0.6)])).toEqual(['EQUILIBRIUM', 'EQUILIBRIUM', 'TRANSITION']);
    expect(labels([lead(0.6), lead(0.6), lead(0.55), lead(0.6)]).at(-1)).toBe('EQUILIBRIUM');
    expect(labels([lead(0.55), lead(0.57), lead(0.57)]).at(-1)).toBe('EQUILIBRIUM');
  });

  test('changes at once where another reaches 0.9', () => {
    expect(labels([lead(0.91)])).toEqual(['TRANSITION']);
  });

  test('is not taken by two that lead by turns', () => {
    const other = [0.3, 0, 0.7, 0, 0];
    expect(labels([lead(0.7), other, lead(0.7), other])).toEqual(new Array(4).fill('EQUILIBRIUM'));
  });

  test('leaves WARMING_UP at the first posterior, and comes back to it', () => {
    expect(heldLabel(NO_LABEL, WARMING_UP).label).toBe('WARMING_UP');
    expect(heldLabel(NO_LABEL, [0.3, 0.2, 0.25, 0.25, 0]).label).toBe('EQUILIBRIUM');
    expect(labels([WARMING_UP])).toEqual(['WARMING_UP']);
    expect(likeliest([0.1, 0.2, 0.4, 0.3, 0])).toBe('CRITICAL');
  });
});
