/** The table of defense, row by row. */
import { describe, expect, test } from '@jest/globals';
import {
  absentInput,
  contingencyLevel,
  homeostasisLevel,
  maxLevel,
  nodeLoadLevel,
  type PhaseSeverity,
  phaseRiskLevel,
  servedShareLevel,
  utilizationInput,
  utilizationLevel,
  utilizationThresholds,
} from '../../../src/resilience/defense/level.ts';

const window = { startMs: 0, endMs: 60_000 };

describe('utilization', () => {
  test('a ceiling of .80 gives the thresholds .70, .80, .85 and .95', () => {
    const thresholds = utilizationThresholds(0.8);
    for (const [index, threshold] of [0.7, 0.8, 0.85, 0.95].entries())
      expect(thresholds[index]).toBeCloseTo(threshold, 12);
  });

  test.each([
    [0, 1, 0.7],
    [0.7, 1, 0.7],
    [0.71, 2, 0.7],
    [0.8, 2, 0.7],
    [0.801, 3, 0.8],
    [0.86, 4, 0.85],
    [0.951, 5, 0.95],
    [1.4, 5, 0.95],
  ])('%d asks for level %d against threshold %d', (utilization, level, threshold) => {
    expect(utilizationLevel(utilization, 0.8)).toEqual({ level, threshold: expect.closeTo(threshold, 12) });
  });

  test('the input says what it would ask for if it were worse by the margin', () => {
    expect(utilizationInput({ status: 'OK', value: 0.785 }, 0.8, 0.02, window)).toMatchObject({
      name: 'utilization',
      status: 'OK',
      level: 2,
      cautiousLevel: 3,
      statistic: 0.785,
      window,
    });
  });

  test('without a value the input asks for nothing', () => {
    expect(utilizationInput({ status: 'UNKNOWN' }, 0.8, 0.02, window)).toEqual({
      ...absentInput('utilization', 'UNKNOWN'),
      window,
    });
  });
});

test.each([
  [1, 1],
  [0.95, 1],
  [0.94, 2],
  [0.9, 2],
  [0.89, 3],
  [0.79, 4],
  [0.69, 5],
])('a served share of %d asks for level %d', (share, level) => {
  expect(servedShareLevel(share).level).toBe(level);
});

test('the served share reports the threshold it fell below', () => {
  expect(servedShareLevel(0.85).threshold).toBe(0.9);
});

test.each([
  ['NOTHING', 'NOTHING', 1],
  ['NOTHING', 'SOME', 2],
  ['NOTHING', 'RANK_1', 3],
  ['SOME', 'SOME', 4],
  ['RANK_1', 'RANK_1', 5],
] as const)(
  'unserved now: %s, after a loss: %s asks for level %d',
  (unservedNow, unservedAfterLoss, level) => {
    expect(contingencyLevel({ unservedNow, unservedAfterLoss })).toBe(level);
  },
);

test('homeostasis asks for 2 when a limit is near in time and for 3 past it', () => {
  const responseTimeMs = 3_600_000;
  expect(homeostasisLevel({ pastLimit: false, responseTimeMs })).toBe(1);
  expect(homeostasisLevel({ pastLimit: false, etaMs: responseTimeMs + 1, responseTimeMs })).toBe(1);
  expect(homeostasisLevel({ pastLimit: false, etaMs: responseTimeMs, responseTimeMs })).toBe(2);
  expect(homeostasisLevel({ pastLimit: true, responseTimeMs })).toBe(3);
});

test.each([
  [0.3, 1],
  [0.31, 2],
  [0.5, 2],
  [0.51, 3],
])('a share of %d of overloaded nodes asks for level %d', (share, level) => {
  expect(nodeLoadLevel(share).level).toBe(level);
});

test.each<[PhaseSeverity, boolean, boolean, number]>([
  ['NORMAL', true, true, 1],
  ['ELEVATED', true, true, 1],
  ['HIGH', true, true, 2],
  ['CRITICAL', true, true, 4],
  ['IMMINENT', false, false, 4],
  ['IMMINENT', true, false, 5],
  ['IMMINENT', false, true, 5],
])(
  'phase risk %s (corroborated: %s, may declare alone: %s) asks for level %d',
  (severity, corroborated, mayDeclareAlone, level) => {
    expect(phaseRiskLevel(severity, { corroborated, mayDeclareAlone })).toBe(level);
  },
);

test('the greatest of no levels is 1', () => {
  expect(maxLevel()).toBe(1);
  expect(maxLevel(0, 0)).toBe(1);
  expect(maxLevel(2, 0, 4)).toBe(4);
});
