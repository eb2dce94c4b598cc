/** What is remembered of calm, and when it is enough to compare with. */
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { Assessment, RiskSeverity } from '../../../src/resilience/early-warning/assessment.ts';
import {
  type CalmQuarters,
  referencesOf,
  rememberCalm,
} from '../../../src/resilience/phase-risk/reference.ts';
import { MINUTE_MS } from '../worlds.ts';
import { lookOf } from './worlds.ts';

const DAY_MS = 1_440 * MINUTE_MS;
/** Looks stand on 400 samples, so a quarter lasts 100 minutes. */
const QUARTER_MS = 100 * MINUTE_MS;
const NORMAL = { utilization: 'NORMAL' } as const;

function remember(
  calm: CalmQuarters,
  atMs: number,
  { look = lookOf(NORMAL), held = NORMAL, intervalMs = MINUTE_MS }: Circumstances = {},
): CalmQuarters {
  return rememberCalm(calm, { atMs, intervalMs }, look, held);
}

interface Circumstances {
  readonly look?: Assessment;
  readonly held?: Readonly<Record<string, RiskSeverity>>;
  readonly intervalMs?: number;
}

/** A calm look whose last quarter had some memory. */
function withLagOne(lagOne: number): Assessment {
  const look = lookOf(NORMAL);
  const metrics = look.metrics.map((metric) => ({
    ...metric,
    finding: { ...metric.finding, present: { lagOne, recoveryRate: 1 - lagOne, recoveryRate2: 2 * lagOne } },
  }));
  return { ...look, metrics };
}

const instants = (calm: CalmQuarters, metric = 'utilization') => (calm[metric] ?? []).map(({ atMs }) => atMs);

describe('a calm quarter', () => {
  test('is remembered with its figures and the look it ended at', () => {
    expect(remember({}, DAY_MS, { look: withLagOne(0.25) })).toEqual({
      utilization: [{ atMs: DAY_MS, lagOne: 0.25, recoveryRate: 0.75, recoveryRate2: 0.5 }],
    });
  });

  test('overlaps no other, however often the cell is looked at', () => {
    let calm: CalmQuarters = {};
    for (let atMs = 0; atMs <= 450 * MINUTE_MS; atMs += 15 * MINUTE_MS) calm = remember(calm, atMs);
    expect(instants(calm).map((atMs) => atMs / MINUTE_MS)).toEqual([0, 105, 210, 315, 420]);
    expect(instants(remember(remember({}, 0), QUARTER_MS))).toEqual([0, QUARTER_MS]);
    expect(instants(remember(remember({}, 0), QUARTER_MS - 1))).toEqual([0]);
  });

  test('is as long as the slots of its series', () => {
    const once = remember({}, 0, { intervalMs: 2 * MINUTE_MS });
    expect(instants(remember(once, QUARTER_MS, { intervalMs: 2 * MINUTE_MS }))).toEqual([0]);
    expect(instants(remember(once, 2 * QUARTER_MS, { intervalMs: 2 * MINUTE_MS }))).toHaveLength(2);
  });

  test.each<[string, Circumstances]>([
    ['this look alarmed', { look: lookOf({ utilization: 'ELEVATED' }) }],
    ['an alarm still holds', { held: { utilization: 'ELEVATED' } }],
    ['the look could not say anything', { look: lookOf({ utilization: 'UNKNOWN' }) }],
    ['the look failed', { look: { ...lookOf({}), severity: 'UNKNOWN' } }],
  ])('is none when %s', (_, circumstances) => {
    expect(remember({}, DAY_MS, circumstances)).toEqual({});
  });

  test('is remembered of each metric by itself', () => {
    const look = lookOf({ utilization: 'NORMAL', map_energy: 'HIGH', map_entropy: 'NORMAL' });
    const held = { utilization: 'NORMAL', map_energy: 'NORMAL', map_entropy: 'NORMAL' } as const;
    expect(Object.keys(remember({}, DAY_MS, { look, held }))).toEqual(['utilization', 'map_entropy']);
  });

  test('is forgotten after seven days of event time, that of a metric no look sees included', () => {
    const old = remember({}, 0);
    expect(instants(remember(old, 7 * DAY_MS))).toEqual([0, 7 * DAY_MS]);
    expect(instants(remember(old, 7 * DAY_MS + 1))).toEqual([7 * DAY_MS + 1]);
    expect(remember(old, 7 * DAY_MS + 1, { look: lookOf({}), held: {} })).toEqual({});
  });

  test('changes nothing in what was remembered before', () => {
    const before = remember({}, 0);
    const copy = structuredClone(before);
    remember(before, DAY_MS);
    remember(before, 30 * DAY_MS);
    expect(before).toEqual(copy);
  });

  test('any two of a metric are a quarter apart and none is older than seven days', () => {
    const gaps = fc.array(fc.integer({ min: 1, max: 3_000 }), { minLength: 1, maxLength: 80 });
    fc.assert(
      fc.property(gaps, (minutes) => {
        let calm: CalmQuarters = {};
        let atMs = 0;
        for (const gap of minutes) {
          atMs += gap * MINUTE_MS;
          calm = remember(calm, atMs);
          const kept = instants(calm);
          expect(atMs - kept[0]!).toBeLessThanOrEqual(7 * DAY_MS);
          for (let i = 1; i < kept.length; i++)
            expect(kept[i]! - kept[i - 1]!).toBeGreaterThanOrEqual(QUARTER_MS);
        }
      }),
    );
  });
});

describe('the reference', () => {
  const quarters = (lagOnes: readonly number[]): CalmQuarters => {
    let calm: CalmQuarters = {};
    for (const [index, lagOne] of lagOnes.entries())
      calm = remember(calm, index * QUARTER_MS, { look: withLagOne(lagOne) });
    return calm;
  };
  const ramp = (count: number) => Array.from({ length: count }, (_, i) => ((i * 11) % count) / 100);

  test('needs twenty quarters', () => {
    expect(referencesOf(quarters(ramp(19))).size).toBe(0);
    expect([...referencesOf(quarters(ramp(20))).keys()]).toEqual(['utilization']);
  });

  test('is the median of each figure, of an even number the mean of the two in the middle', () => {
    expect(referencesOf(quarters(ramp(21))).get('utilization')).toEqual({
      lagOne: 0.1,
      recoveryRate: 0.9,
      recoveryRate2: 0.2,
    });
    expect(referencesOf(quarters(ramp(20))).get('utilization')).toEqual({
      lagOne: expect.closeTo(0.095, 12),
      recoveryRate: expect.closeTo(0.905, 12),
      recoveryRate2: expect.closeTo(0.19, 12),
    });
  });
});
