/**
 * Parity with the `ewstools` package: a harvested Ricker map rebuilt from its seed and judged by the same definitions,
 * and the series its authors published with their papers (read where the data lie beside the repository).
 */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { describe, expect, test } from '@jest/globals';
import {
  createDetrendPlan,
  type Detrending,
  type DetrendOptions,
} from '../../../src/resilience/early-warning/detrend.ts';
import {
  createRollingPlan,
  type IndicatorName,
  indicatorsOf,
} from '../../../src/resilience/early-warning/indicators.ts';
import { LegacyRandom, rickerSeries } from './ricker.ts';

const root = join(dirname(fileURLToPath(import.meta.url)), '../../..');

function residualsOf(values: Float64Array, options: DetrendOptions): Float64Array {
  const out = new Float64Array(values.length);
  createDetrendPlan(values.length, options).residuals(values, out);
  return out;
}

/** Value and trend of each indicator by name. */
function judge(values: Float64Array, method: Detrending, rolling: number, bandwidth = 0.2) {
  const residuals = residualsOf(values, { method, bandwidth, periods: [] });
  const found = indicatorsOf(values, residuals, createRollingPlan(values.length, rolling), 1000);
  return new Map(found.map((one) => [one.name, one]));
}

describe('the generator of the reference series', () => {
  test('gives the doubles and normals of numpy.random.seed(0)', () => {
    const doubles = new LegacyRandom(0);
    expect([1, 2, 3].map(() => doubles.uniform())).toEqual([
      0.5488135039273248, 0.7151893663724195, 0.6027633760716439,
    ]);
    const normals = new LegacyRandom(0);
    expect([1, 2, 3].map(() => normals.normal())).toEqual([
      1.764052345967664, 0.4001572083672233, 0.9787379841057392,
    ]);
  });

  test('gives the first values of the Ricker map', () => {
    const [first] = [rickerSeries()];
    [10.108574, 10.411427, 9.823899, 9.699381, 10.106707].forEach((value, t) => {
      expect(first[t]).toBeCloseTo(value, 6);
    });
  });
});

describe('the Ricker map up to its transition', () => {
  const values = rickerSeries().slice(0, 861);

  test.each<readonly [Detrending, number, number, Partial<Record<IndicatorName, number>>]>([
    [
      'LOWESS',
      0.5,
      430,
      {
        variance: 0.37367878319154424,
        coefficient_of_variation: 0.9421457420297328,
        autocorrelation_1: 0.8830024920512161,
        skewness: -0.5228796081464295,
      },
    ],
    [
      'GAUSSIAN',
      0.25,
      215,
      {
        variance: 0.3530033830826726,
        coefficient_of_variation: 0.8947464123532761,
        autocorrelation_1: 0.790468990003876,
        skewness: -0.43794890444585877,
      },
    ],
    [
      'NONE',
      0.5,
      430,
      {
        variance: 0.9502234252814301,
        coefficient_of_variation: 0.9856707055082926,
        autocorrelation_1: 0.9644667869725875,
        skewness: -0.2861991922316749,
      },
    ],
  ])('has the published trends: %s, rolling %d', (method, rolling, window, taus) => {
    expect(createRollingPlan(values.length, rolling).window).toBe(window);
    const found = judge(values, method, rolling);
    for (const [name, tau] of Object.entries(taus)) {
      expect(Math.abs(found.get(name as IndicatorName)!.tau! - tau)).toBeLessThan(1e-9);
    }
  });

  test('has the published trends of kurtosis and second-lag correlation', () => {
    const found = judge(values, 'LOWESS', 0.5);
    expect(found.get('kurtosis')!.tau).toBeCloseTo(-0.46455, 5);
    expect(found.get('autocorrelation_2')!.tau).toBeCloseTo(0.76396, 5);
  });

  test('has the published values in its last window', () => {
    const found = judge(values, 'LOWESS', 0.5);
    expect(found.get('variance')!.value).toBeCloseTo(0.040625, 6);
    expect(found.get('coefficient_of_variation')!.value).toBeCloseTo(0.02891, 6);
    expect(found.get('autocorrelation_1')!.value).toBeCloseTo(0.533787, 6);
    expect(found.get('skewness')!.value).toBeCloseTo(-0.009991, 6);
  });

  test('has the published values in its first window', () => {
    // The residuals are those of the whole series; a plan of one window judges their beginning.
    const residuals = residualsOf(values, { method: 'LOWESS', bandwidth: 0.2, periods: [] });
    const plan = createRollingPlan(430, 1);
    const found = indicatorsOf(values.slice(0, 430), residuals.slice(0, 430), plan, 1000);
    const value = (name: IndicatorName) => found.find((one) => one.name === name)!.value!;
    expect(value('variance')).toBeCloseTo(0.041932, 6);
    expect(value('coefficient_of_variation')).toBeCloseTo(0.022356, 6);
    expect(value('autocorrelation_1')).toBeCloseTo(0.310512, 6);
    expect(value('skewness')).toBeCloseTo(0.136293, 6);
  });
});

const data = join(root, '../shared/data');

/** Columns of a gzipped table; NaN where a cell is empty. */
function table(path: string): Map<string, Float64Array> {
  const [header, ...lines] = gunzipSync(readFileSync(join(data, path)))
    .toString('utf8')
    .trim()
    .split('\n');
  const rows = lines.map((line) => line.split(',').map((cell) => (cell === '' ? Number.NaN : Number(cell))));
  return new Map(header!.split(',').map((name, at) => [name, Float64Array.from(rows, (row) => row[at]!)]));
}

interface Published {
  readonly file: string;
  readonly bandwidth: number;
  readonly tau: { readonly variance: number; readonly ac1: number };
  /** Last time the published trend covers. */
  readonly untilTime: number;
}

/** Largest relative differences to what was published, and absolute ones of the trends. */
function compare({ file, bandwidth, tau, untilTime }: Published) {
  const published = table(file);
  const column = (name: string) => published.get(name)!;
  const values = column('state');
  const plan = createRollingPlan(values.length, 0.5);
  const residuals = residualsOf(values, { method: 'GAUSSIAN', bandwidth, periods: [] });
  const variance = new Float64Array(plan.count);
  const correlation = new Float64Array(plan.count);
  plan.variance(residuals, variance);
  plan.autocorrelation(residuals, 1, correlation);
  const first = plan.window - 1;
  const furthest = (ours: Float64Array, theirs: Float64Array) => {
    const scale = Math.max(...theirs.map(Math.abs));
    return Math.max(...ours.map((one, at) => Math.abs(one - theirs[at]!))) / scale;
  };
  const times = published.get('time_yr') ?? column('time_kyr');
  // The publisher leaves out the first window.
  const covered = (ours: Float64Array) =>
    ours.slice(1).filter((_, at) => times[first + 1 + at]! <= untilTime);
  return {
    residuals: furthest(residuals, column('residuals')),
    variance: furthest(variance, column('variance').slice(first)),
    correlation: furthest(correlation, column('ac1').slice(first)),
    tauVariance: Math.abs(plan.kendall(covered(variance)) - tau.variance),
    tauCorrelation: Math.abs(plan.kendall(covered(correlation)) - tau.ac1),
  };
}

function expectParity(published: Published): void {
  const apart = compare(published);
  expect(apart.residuals).toBeLessThan(1e-9);
  expect(apart.variance).toBeLessThan(1e-9);
  expect(apart.correlation).toBeLessThan(1e-9);
  expect(apart.tauVariance).toBeLessThan(1e-6);
  expect(apart.tauCorrelation).toBeLessThan(1e-6);
}

const records = <Record>(set: string): Record[] =>
  JSON.parse(readFileSync(join(data, set, 'records.json'), 'utf8'));

interface ClimateRecord {
  readonly file: string;
  readonly points_before_transition: number;
  readonly gaussian_bandwidth_points: number;
  readonly published_kendall_tau: Published['tau'];
}

interface AnoxiaRecord {
  readonly tsid: number;
  readonly published: Readonly<
    Record<string, { readonly kendall_tau_at_last_grid_time: Published['tau'] & { readonly time: number } }>
  >;
}

describe('published series', () => {
  (existsSync(join(data, 'ews_paleoclimate/records.json')) ? test : test.skip)(
    'abrupt shifts of climate: residuals, variance, correlation and trends of all records',
    () => {
      const all = records<ClimateRecord>('ews_paleoclimate');
      expect(all.length).toBeGreaterThan(0);
      for (const record of all) {
        expectParity({
          file: `ews_paleoclimate/${record.file}_published_ews.csv.gz`,
          bandwidth: record.gaussian_bandwidth_points / record.points_before_transition,
          tau: record.published_kendall_tau,
          untilTime: Number.POSITIVE_INFINITY,
        });
      }
    },
  );

  (existsSync(join(data, 'ews_anoxia/records.json')) ? test : test.skip)(
    'anoxia in sediment cores: residuals, variance, correlation and trends of all records',
    () => {
      const all = records<AnoxiaRecord>('ews_anoxia');
      expect(all.length).toBeGreaterThan(0);
      for (const { tsid, published } of all) {
        for (const [element, { kendall_tau_at_last_grid_time: tau }] of Object.entries(published)) {
          expectParity({
            file: `ews_anoxia/sapropel_${String(tsid).padStart(2, '0')}_${element}_published_ews.csv.gz`,
            bandwidth: 0.2,
            tau,
            untilTime: tau.time,
          });
        }
      }
    },
  );
});
