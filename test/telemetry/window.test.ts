import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { MetricKind } from '../../src/gen/homeostat/telemetry/v1/telemetry_service_pb.ts';
import {
  type ClosedWindow,
  SUMMARY,
  SUMMARY_COUNT,
  SUMMARY_COVERED_SECONDS,
  SUMMARY_FIRST,
  SUMMARY_INTEGRAL,
  SUMMARY_LAST,
  SUMMARY_MAX,
  SUMMARY_MEAN,
  SUMMARY_METRIC,
  SUMMARY_MIN,
  SUMMARY_NODE,
} from '../../src/telemetry/window/closing.ts';
import { WindowPlan } from '../../src/telemetry/window/plan.ts';
import { type BatchInit, createHarness, type SampleInit, START_MS } from './messages.ts';

/** Summaries of a window by `node/metric`. */
function summariesOf(window: ClosedWindow) {
  const found: Record<string, Record<string, number>> = {};
  for (let row = 0; row < window.summaries.length; row += SUMMARY) {
    const at = (field: number) => window.summaries[row + field]!;
    found[`${window.nodes[at(SUMMARY_NODE)]!.name}/${window.metrics[at(SUMMARY_METRIC)]!.name}`] = {
      count: at(SUMMARY_COUNT),
      mean: at(SUMMARY_MEAN),
      integral: at(SUMMARY_INTEGRAL),
      covered: at(SUMMARY_COVERED_SECONDS),
      min: at(SUMMARY_MIN),
      max: at(SUMMARY_MAX),
      first: at(SUMMARY_FIRST),
      last: at(SUMMARY_LAST),
    };
  }
  return found;
}

/** Folds samples of one series, one message each, and closes everything. */
function fold(samples: readonly SampleInit[], init: BatchInit = {}): ClosedWindow[] {
  const harness = createHarness({ latenessMs: 600_000 });
  samples.forEach((sample, i) => {
    harness.send({ ...init, sequence: i + 1, samples: [sample] });
  });
  harness.send({ ...init, sequence: samples.length + 1, endOfInput: true });
  return [...harness.closed];
}

describe('a window of one gauge', () => {
  test('integrates by trapezoids and holds the ends to the edges', () => {
    const [window] = fold([
      [2, 10],
      [4, 20],
      [8, 0],
    ]);
    // 2 s of 10, trapezoids 30 and 40, 2 s of 0.
    expect(summariesOf(window!)).toEqual({
      'n1/cpu': { count: 3, mean: 10, integral: 90, covered: 10, min: 0, max: 20, first: 10, last: 0 },
    });
    expect(window!.completeness).toBe(1);
  });

  test('of one sample holds it over the whole window', () => {
    expect(summariesOf(fold([[3, 7]])[0]!)['n1/cpu']).toMatchObject({ count: 1, integral: 70, covered: 10 });
  });

  test('leaves gaps above three usual intervals uncovered, inside and at the edges', () => {
    // Usual interval 1 s; then 4 s of nothing, and 3.5 s to the end.
    const [window] = fold([
      [0, 1],
      [1, 1],
      [2, 1],
      [6, 1],
      [6.5, 1],
    ]);
    const summary = summariesOf(window!)['n1/cpu']!;
    // At the end the usual interval is 1 + 3/8 and then a little less, so 3.5 s are within three of it.
    expect(summary.covered).toBeCloseTo(2 + 0.5 + 3.5, 9);
    expect(summary.integral).toBeCloseTo(6, 9);
    expect(window!.completeness).toBeCloseTo(0.6, 9);
  });

  test.each([
    [4.1, true],
    [4.2, false],
  ])(
    'takes an eighth of a new interval into the usual one: after 1, 1 and 4 s it covers %s s: %s',
    (gap, isCovered) => {
      // Usual 1 s, then (7 + 4) / 8 = 1.375 s, three of which are 4.125 s; the window ends less than that later.
      const times = [0, 1, 2, 6, 6 + gap];
      const harness = createHarness({ windowMs: 14_000, latenessMs: 600_000 });
      const startMs = harness.stream.plan.endOf(START_MS);
      const offset = (startMs - START_MS) / 1000;
      times.forEach((time, i) => {
        harness.send({ sequence: i + 1, samples: [[offset + time, 1]] });
      });
      harness.send({ sequence: 9, endOfInput: true, baseSeconds: offset });
      const tail = 14 - (6 + gap);
      expect(summariesOf(harness.closed[0]!)['n1/cpu']!.covered).toBeCloseTo(
        2 + (isCovered ? gap : 0) + tail,
        9,
      );
    },
  );

  test('covers everything at a steady interval longer than the window', () => {
    const windows = fold([
      [5, 2],
      [65, 2],
      [125, 2],
    ]);
    expect(windows).toHaveLength(3);
    for (const window of windows)
      expect(summariesOf(window)['n1/cpu']).toMatchObject({ covered: 10, integral: 20 });
  });

  test('takes the straight line past a sample that comes between two others, and extends to one before the first', () => {
    const [window] = fold([
      [2, 0],
      [8, 6],
      [5, 100], // Between: counts, but not in the integral.
      [1, 2], // Before the first.
    ]);
    expect(summariesOf(window!)['n1/cpu']).toEqual({
      count: 4,
      mean: 27,
      integral: 1 * 2 + 1 + 18 + 2 * 6,
      covered: 10,
      min: 0,
      max: 100,
      first: 2,
      last: 6,
    });
  });

  test('takes repeated instants without covering anything twice', () => {
    const [window] = fold([
      [2, 1],
      [2, 3],
      [6, 3],
    ]);
    expect(summariesOf(window!)['n1/cpu']).toMatchObject({
      count: 3,
      covered: 10,
      integral: 2 + 12 + 12,
      last: 3,
    });
  });

  test('stays finite whatever finite values come', () => {
    const [window] = fold([
      [1, Number.MAX_VALUE],
      [2, Number.MAX_VALUE],
      [9, Number.MAX_VALUE],
    ]);
    for (const value of Object.values(summariesOf(window!)['n1/cpu']!))
      expect(Number.isFinite(value)).toBe(true);
  });

  test('never covers more than the window, and the mean lies between least and greatest', () => {
    const sample = fc.tuple(fc.integer({ min: 0, max: 9999 }), fc.integer({ min: -1000, max: 1000 }));
    fc.assert(
      fc.property(fc.array(sample, { minLength: 1, maxLength: 40 }), (given) => {
        const [window] = fold(given.map(([ms, value]) => [ms / 1000, value]));
        const summary = summariesOf(window!)['n1/cpu']!;
        expect(summary.count).toBe(given.length);
        expect(summary.covered).toBeGreaterThanOrEqual(0);
        expect(summary.covered).toBeLessThanOrEqual(10);
        expect(summary.mean).toBeGreaterThanOrEqual(summary.min! - 1e-9);
        expect(summary.mean).toBeLessThanOrEqual(summary.max! + 1e-9);
        const bound = Math.max(Math.abs(summary.min!), Math.abs(summary.max!)) * summary.covered!;
        expect(Math.abs(summary.integral!)).toBeLessThanOrEqual(bound + 1e-6);
      }),
      { numRuns: 200 },
    );
  });
});

describe('a window of a counter', () => {
  test('sums non-negative differences over windows, a fall being a reset', () => {
    const windows = fold(
      [
        [1, 100],
        [5, 130],
        [11, 150],
        [14, 20],
        [18, 25],
      ],
      { kind: MetricKind.COUNTER },
    );
    expect(windows.map((window) => summariesOf(window)['n1/cpu']!.integral)).toEqual([30, 20 + 20 + 5]);
    expect(summariesOf(windows[1]!)['n1/cpu']).toMatchObject({
      count: 3,
      mean: 15,
      min: 5,
      max: 20,
      last: 5,
    });
  });

  test('gives a sample behind a newer one no difference of its own', () => {
    const [window] = fold(
      [
        [1, 100],
        [9, 130],
        [5, 110],
      ],
      { kind: MetricKind.COUNTER },
    );
    expect(summariesOf(window!)['n1/cpu']).toMatchObject({ count: 3, integral: 30 });
  });
});

test('a window of a delta sums its values', () => {
  const [window] = fold(
    [
      [1, 5],
      [4, 7],
    ],
    { kind: MetricKind.DELTA },
  );
  expect(summariesOf(window!)['n1/cpu']).toMatchObject({ count: 2, integral: 12, mean: 6, covered: 10 });
});

test('a window lists nodes and metrics in order of their names, with declared cells', () => {
  const harness = createHarness();
  harness.send({
    node: 'b',
    sequence: 1,
    source: 'b',
    samples: [[1, 1, 'z']],
    labels: { 'homeostat.row': '3', 'homeostat.col': '4' },
  });
  harness.send({
    node: 'a.1',
    sequence: 1,
    source: 'a',
    samples: [
      [1, 2, 'm'],
      [1, 3, 'z'],
    ],
    labels: { 'homeostat.row': 'x', 'homeostat.col': '4' },
  });
  harness.send({ node: 'b', sequence: 2, source: 'b', samples: [[2, 4, 'a']], endOfInput: true });
  const [window] = harness.closed;
  expect(window!.nodes).toEqual([
    { name: 'a.1', row: -1, col: -1 },
    { name: 'b', row: 3, col: 4 },
  ]);
  expect(window!.metrics.map((metric) => [metric.name, metric.unit])).toEqual([
    ['a', '1'],
    ['m', '1'],
    ['z', '1'],
  ]);
  expect(Object.keys(summariesOf(window!))).toEqual(['a.1/m', 'a.1/z', 'b/a', 'b/z']);
  expect(window).toMatchObject({
    startMs: START_MS,
    endMs: START_MS + 10_000,
    endOfInput: true,
    brokerSequence: 3,
  });
});

describe('the cutting of event time', () => {
  test('tiles the time line whatever the widths', () => {
    const width = fc.integer({ min: 1, max: 3600 }).map((seconds) => seconds * 1000);
    fc.assert(
      fc.property(width, fc.array(fc.tuple(width, fc.nat(100_000)), { maxLength: 4 }), (first, changes) => {
        const plan = new WindowPlan([{ fromMs: Number.NEGATIVE_INFINITY, widthMs: first }]);
        let frontier = 0;
        for (const [widthMs, later] of changes) {
          frontier = plan.endOf(frontier + later);
          plan.change(widthMs, frontier);
        }
        for (let timeMs = 0; timeMs < frontier + 7_200_000; ) {
          const endMs = plan.endOf(timeMs);
          expect(plan.startOf(timeMs)).toBe(timeMs === 0 ? plan.startOf(0) : timeMs);
          expect(endMs).toBeGreaterThan(timeMs);
          expect(plan.startOf(endMs - 1)).toBe(plan.startOf(timeMs));
          timeMs = endMs;
        }
        expect(plan.endOf(frontier + 3_600_000) - plan.startOf(frontier + 3_600_000)).toBeLessThanOrEqual(
          plan.widthMs,
        );
      }),
      { numRuns: 50 },
    );
  });

  test('takes a new width from the first boundary after every open window', () => {
    const harness = createHarness();
    harness.send({
      sequence: 1,
      samples: [
        [3, 1],
        [13, 1],
      ],
    });
    expect(harness.stream.configure(1, 15_000, 2_000)).toBe(true);
    expect(harness.stream.configure(1, 60_000, 2_000)).toBe(false);
    harness.send({
      sequence: 2,
      samples: [
        [16, 1],
        [25, 1],
        [31, 1],
      ],
    });
    harness.send({ sequence: 3, endOfInput: true, baseSeconds: 31 });
    expect(
      harness.closed.map(({ startMs, endMs }) => [(startMs - START_MS) / 1000, (endMs - START_MS) / 1000]),
    ).toEqual([
      [0, 10],
      [10, 20],
      [20, 30],
      [30, 45],
    ]);
  });
});

test('many windows opened by one message of a wide stream cost what they hold, and close alike', () => {
  const wide = createHarness({ windowMs: 1_000 });
  let sequence = 0;
  for (let from = 0; from < 2_000; from += 250) {
    const samples = Array.from({ length: 250 }, (_, m) => [0, m, `m${from + m}`] as const);
    wide.send({ sequence: ++sequence, samples });
  }
  // The highest series in each of 500 windows, then every series in one of them.
  wide.send({
    sequence: ++sequence,
    samples: Array.from({ length: 500 }, (_, i) => [500 - i, i, 'm1999'] as const),
  });
  const other = createHarness({ windowMs: 1_000 });
  other.send({ sequence: 1, samples: Array.from({ length: 500 }, (_, i) => [500 - i, i, 'm1999'] as const) });
  expect(wide.closed.slice(1).map((window) => window.summaries)).toEqual(
    other.closed.map((window) => window.summaries),
  );
  const last = wide.stream.windows.at(-1)!;
  for (let from = 0; from < 2_000; from += 250) {
    const samples = Array.from({ length: 250 }, (_, m) => [500.5, m, `m${from + m}`] as const);
    wide.send({ sequence: ++sequence, samples });
  }
  expect(last.cellCount).toBe(2_000);
  wide.send({ sequence: ++sequence, baseSeconds: 501, endOfInput: true });
  expect(Object.values(summariesOf(wide.closed.at(-1)!)).map((summary) => summary.count)).toEqual(
    Object.keys(summariesOf(wide.closed.at(-1)!)).map((name) => (name === 'n1/m1999' ? 2 : 1)),
  );
});
