import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from '@jest/globals';
import { DataError } from '../../bench/evaluate/data-error.ts';
import {
  type PublishedRecord,
  parityFigures,
  pointsThrough,
} from '../../bench/evaluate/early-warning-parity.ts';
import { type Figure, verdictOf } from '../../bench/evaluate/figure.ts';
import { evaluationSets } from '../../bench/evaluate/sets.ts';

const OPTIONS = {
  controls: { variance: [-1], autocorrelation: [1] },
  direction: { variance: 1, autocorrelation: -1 },
  publishedAreas: { variance: { journal: 0.7 }, autocorrelation: {} },
} as const;

/** Steps of growing size and alternating sign: in every window the variance rises and neighbours are opposed. */
const growing = Float64Array.from({ length: 12 }, (_, t) => (t % 2 === 0 ? 1 : -1) * 1.5 ** t);
const record = (changes: Partial<PublishedRecord> = {}): PublishedRecord => ({
  path: 'made.csv.gz',
  detrending: undefined,
  residuals: growing,
  windowPoints: 6,
  skipped: 0,
  isTransition: true,
  taus: [{ points: 12, published: { variance: 1, autocorrelation: 0 } }],
  ...changes,
});
const figuresOf = (...records: readonly PublishedRecord[]): Figure[] => [...parityFigures(records, OPTIONS)];
const find = (figures: readonly Figure[], text: string) =>
  figures.find(({ metric }) => metric.includes(text))!;

describe('agreement with published indicators', () => {
  test('is the largest difference of any tau', () => {
    const tau = find(figuresOf(record()), "Kendall's tau of variance, 1 taus");
    expect(tau).toMatchObject({ ours: 0, target: 1e-6, better: 'LOWER' });
    const off = record({ taus: [{ points: 12, published: { variance: 0.99, autocorrelation: 0 } }] });
    const two = find(figuresOf(record(), off), "Kendall's tau of variance, 2 taus");
    expect(two.ours).toBeCloseTo(0.01, 12);
    expect(verdictOf(two)).toBe('MISSED');
  });

  test('takes the windows between those skipped and the last point', () => {
    // Windows of 6 of 8 points: the first holds the outlier, so the variance falls, then rises, a tau of -1/3.
    const residuals = Float64Array.of(90, -1, 1, -1, 1, -1, 2, -3, 0, 0, 0, 0);
    const taus = [{ points: 8, published: { variance: 1, autocorrelation: 0 } }];
    const all = figuresOf(record({ residuals, taus }));
    expect(find(all, 'tau of variance').ours).toBeCloseTo(4 / 3, 12);
    const skipping = figuresOf(record({ residuals, taus, skipped: 1 }));
    expect(find(skipping, 'tau of variance').ours).toBe(0);
  });

  test('ranks transitions among controls by the direction of the indicator', () => {
    const figures = figuresOf(record());
    expect(find(figures, 'ROC of tau of variance')).toMatchObject({
      ours: 1,
      baselines: { 'published taus': 1, journal: 0.7 },
    });
    // The only control's autocorrelation rises with a tau of 1, so falling by any amount ranks above it.
    expect(find(figures, 'ROC of tau of minus lag-1')).toMatchObject({ ours: 1 });
  });

  test('compares our residuals with the published ones', () => {
    const values = Float64Array.from({ length: 12 }, (_, t) => 5 + (t % 3));
    const detrended = record({
      detrending: { values, bandwidthPoints: 3 },
      residuals: new Float64Array(12).fill(2),
    });
    const error = find(figuresOf(detrended), 'residual');
    expect(error.ours).toBeGreaterThan(0.4);
    expect(verdictOf(error)).toBe('MISSED');
  });

  test('refuses a record whose windows are not half of it', () => {
    expect(() => figuresOf(record({ windowPoints: 5 }))).toThrow(DataError);
  });
});

test('points through an instant are counted with it', () => {
  const times = Float64Array.of(-3, -2, -1);
  expect([-4, -3, -2.5, -1, 0].map((through) => pointsThrough(times, through))).toEqual([0, 1, 1, 3, 3]);
});

describe('published records of transitions', () => {
  const data = join(dirname(fileURLToPath(import.meta.url)), '../../../shared/data');
  const sets = evaluationSets.filter(({ name }) => name.startsWith('ews_'));
  const context = { signal: new AbortController().signal, progress: { show: () => {}, end: () => {} } };
  for (const { name, run } of sets) {
    (existsSync(join(data, name)) ? test : test.skip)(
      `of ${name} have the published indicators`,
      async () => {
        const missed: string[] = [];
        let count = 0;
        for await (const figure of run(join(data, name), context)) {
          count++;
          if (verdictOf(figure) === 'MISSED') missed.push(`${figure.metric}: ${figure.ours}`);
        }
        expect(missed).toEqual([]);
        expect(count).toBeGreaterThanOrEqual(6);
      },
    );
  }
});
