/**
 * The score of the Numenta Anomaly Benchmark by hand-made examples and, where the data lies beside the repository, by
 * published scores of a detector simple enough to be done again here.
 */
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { cloudmon } from '../../bench/evaluate/cloudmon.ts';
import type { EvaluationSet, Figure } from '../../bench/evaluate/figure.ts';
import { nab } from '../../bench/evaluate/nab.ts';
import { detectionWorths, nabScore, probationSteps } from '../../bench/evaluate/nab-score.ts';
import { loadTimeSeries } from '../../bench/evaluate/time-series.ts';
import { createRandom } from '../../src/random.ts';

/** A detector of 200 steps that says 1 at the steps given. */
function detector(...steps: number[]): Float64Array {
  const scores = new Float64Array(200);
  for (const step of steps) scores[step] = 1;
  return scores;
}

const WINDOW = { from: 100, to: 120 };

describe('the score', () => {
  test('is 100 for a detection at the first step of each window and nothing else, 0 for none at all', () => {
    const series = { scores: detector(100), windows: [WINDOW] };
    expect(nabScore([series])).toMatchObject({ score: 100, threshold: 1, perSeries: [1] });
    // The benchmark never asks for more than it can have: to detect nothing is 0, to detect all is less.
    expect(nabScore([{ scores: detector(), windows: [WINDOW] }]).score).toBe(0);
  });

  test('falls the later a window is detected, and counts its best detection alone', () => {
    const of = (...steps: number[]) => nabScore([{ scores: detector(...steps), windows: [WINDOW] }]).score;
    const scores = [100, 105, 110, 115, 119].map((step) => of(step));
    expect([...scores].sort((a, b) => b - a)).toEqual(scores);
    expect(scores.at(-1)).toBeGreaterThan(50);
    expect(of(105, 119)).toBe(of(105));
  });

  test('loses 0.11 of a window for a false alarm, less just behind one', () => {
    const worths = detectionWorths(200, [WINDOW]);
    expect(worths[99]).toBe(-0.11);
    expect(worths[199]).toBe(-0.11);
    // One step of nineteen behind the end: 0.11 (2 / (1 + e^(5 / 19)) - 1).
    expect(worths[120]).toBeCloseTo(0.11 * (2 / (1 + Math.exp(5 / 19)) - 1), 15);
    expect(worths[119]).toBeCloseTo((2 / (1 + Math.exp(-5 / 20)) - 1) / (2 / (1 + Math.exp(-5)) - 1), 15);
    expect(nabScore([{ scores: detector(100, 90), windows: [WINDOW] }]).score).toBeCloseTo(100 - 5.5, 10);
  });

  test('judges nothing in the probation, 15 % of a series and at most 750 steps', () => {
    expect([200, 4032, 100_000].map(probationSteps)).toEqual([30, 604, 750]);
    expect(nabScore([{ scores: detector(3, 29, 100), windows: [WINDOW] }]).score).toBe(100);
    expect(nabScore([{ scores: detector(30, 100), windows: [WINDOW] }]).score).toBeLessThan(100);
  });

  test('has one threshold for all series; held out, each has that of the others', () => {
    const quiet = { scores: detector(100).map((score) => 0.4 * score), windows: [WINDOW] };
    const noisy = { scores: detector(100), windows: [WINDOW] };
    noisy.scores.fill(0.5, 40, 60);
    // At 0.4 both windows are found, at the price of twenty false alarms in one series.
    const { score, threshold, perSeries, heldOut } = nabScore([quiet, noisy]);
    expect(threshold).toBe(1);
    expect(perSeries).toEqual([-1, 1]);
    expect(score).toBe(50);
    // Each by what is best for the other: -1 of the quiet one at 1, 1 - 20 * 0.11 of the noisy one at 0.4.
    expect(heldOut).toBeCloseTo((100 * (-1 + 1 - 2.2 + 2)) / 4, 10);
  });
});

const folder = join(dirname(fileURLToPath(import.meta.url)), '../../../shared/data/nab');

/** The benchmark's windowed Gaussian: the two-sided tail of a normal law of all before, in its own rounding. */
function windowedGaussian(values: Float64Array): Float64Array {
  let [count, mean, squares] = [0, 0, 0];
  return values.map((value) => {
    const deviation = Math.sqrt(squares / count) || 1e-6;
    const z = Math.abs(value - mean) / deviation;
    // Where the tail is lost in 1 - q: beyond 8.21 deviations.
    const alarm = count > 0 && z > 8.2095 ? 1 : 0;
    count++;
    const delta = value - mean;
    mean += delta / count;
    squares += delta * (value - mean);
    return alarm;
  });
}

describe('published scores', () => {
  (existsSync(join(folder, 'combined_windows.json')) ? test.each : test.skip.each)([
    'ec2_cpu_utilization_24ae8d',
    'ec2_cpu_utilization_825cc2',
    'ec2_network_in_257a54',
    'elb_request_count_8c0756',
    'rds_cpu_utilization_e47b3b',
  ])('of the windowed Gaussian on %s come out the same', (name) => {
    const key = `realAWSCloudwatch/${name}.csv`;
    const read = (file: string) => JSON.parse(readFileSync(join(folder, file), 'utf8'));
    const series = loadTimeSeries(join(folder, `${name}.csv.gz`), name, {
      time: 'timestamp',
      value: 'value',
    });
    const windows = (read('combined_windows.json')[key] as string[][]).map(([from, last]) => ({
      from: series.times.indexOf(from!.slice(0, 19)),
      to: series.times.indexOf(last!.slice(0, 19)) + 1,
    }));
    const expected = read('published_scores_standard_profile.json').per_file[key].windowedGaussian.score;
    const { perSeries } = nabScore([{ scores: windowedGaussian(series.values), windows }]);
    expect(perSeries[0]).toBeCloseTo(expected, 9);
  });
});

describe('the benchmark', () => {
  (existsSync(join(folder, 'combined_windows.json')) ? test : test.skip)(
    'the score of the map, learned online, passes the best published detector, and keeps most of it with thresholds it did not choose',
    async () => {
      const [score, heldOut] = (await figuresOf(nab, folder)).slice(-2);
      expect(score!.ours).toBeGreaterThan(Math.max(...Object.values(score!.baselines)));
      expect(heldOut!.ours).toBeGreaterThan(65);
    },
    120_000,
  );
});

async function figuresOf(set: EvaluationSet, folder: string): Promise<Figure[]> {
  const figures: Figure[] = [];
  const context = { signal: new AbortController().signal, progress: { show: () => {}, end: () => {} } };
  for await (const figure of set.run(folder, context)) figures.push(figure);
  return figures;
}

describe('the sets', () => {
  let data: string;
  beforeEach(async () => {
    data = await mkdtemp(join(tmpdir(), 'evaluate-'));
  });
  afterEach(() => rm(data, { recursive: true, force: true }));

  const timeOf = (step: number) =>
    `2014-02-${14 + Math.floor(step / 24)} ${String(step % 24).padStart(2, '0')}:00:00`;

  /** Noise with a burst of twelve steps from step 200 on. */
  const values = (seed: number) => {
    const random = createRandom(seed);
    return Array.from({ length: 300 }, (_, step) => random.normal() + (step >= 200 && step < 212 ? 12 : 0));
  };

  test('nab: finds a burst in its window and compares with what is published', async () => {
    const rows = values(1).map((value, step) => `${timeOf(step)},${value}`);
    await writeFile(join(data, 'burst.csv.gz'), gzipSync(`timestamp,value\n${rows.join('\n')}\n`));
    const windows = { 'made/burst.csv': [[`${timeOf(195)}.000000`, `${timeOf(225)}.000000`]] };
    await writeFile(join(data, 'combined_windows.json'), JSON.stringify(windows));
    const published = {
      detectors: { null: { normalised: 0 }, rival: { normalised: 42 } },
      per_file: { 'made/burst.csv': { null: { score: -1 }, rival: { score: 0.5 } } },
    };
    await writeFile(join(data, 'published_scores_standard_profile.json'), JSON.stringify(published));
    const figures = await figuresOf(nab, data);
    expect(figures.map(({ metric }) => metric)).toEqual([
      'score of burst, 1 windows',
      'NAB score, standard profile, 1 windows in 1 series',
      'the same, the threshold of each series chosen on the others',
    ]);
    expect(figures[0]!.baselines).toEqual({ rival: 0.5 });
    expect(figures[1]!.baselines).toEqual({ rival: 42 });
    expect(figures[1]!.ours).toBeGreaterThan(85);
    expect(figures[1]!.target).toBe(60);
  });

  test('nab: names the file whose windows do not fit the series', async () => {
    const rows = values(1).map((value, step) => `${timeOf(step)},${value}`);
    await writeFile(join(data, 'burst.csv.gz'), gzipSync(`timestamp,value\n${rows.join('\n')}\n`));
    const windows = { 'made/burst.csv': [['2013-01-01 00:00:00', timeOf(225)]] };
    await writeFile(join(data, 'combined_windows.json'), JSON.stringify(windows));
    await writeFile(join(data, 'published_scores_standard_profile.json'), '{}');
    await expect(figuresOf(nab, data)).rejects.toThrow(
      /combined_windows\.json has the window .* are no steps of burst/,
    );
  });

  test('cloudmon: finds labeled steps, series without labels left out', async () => {
    const write = (file: string, seed: number, label: (step: number) => number) => {
      const rows = values(seed).map((value, step) => `${timeOf(step)},${value},${label(step)}`);
      return writeFile(join(data, file), gzipSync(`TimeStamp,Value,Label\n${rows.join('\n')}\n`));
    };
    await write('a.csv.gz', 1, (step) => (step >= 200 && step < 212 ? 1 : 0));
    await write('b.csv.gz', 2, () => 0);
    await writeFile(
      join(data, 'manifest.json'),
      JSON.stringify([{ file: 'a.csv.gz' }, { file: 'b.csv.gz' }]),
    );
    const [ofScore, ofSurprise] = await figuresOf(cloudmon, data);
    expect(ofScore!.metric).toBe('mean average precision of the score, 1 series');
    expect(ofScore!.ours).toBeGreaterThan(0.5);
    expect(ofSurprise!.ours).toBeGreaterThan(0.9);
    expect([ofScore!.target, ofSurprise!.target]).toEqual([0.377, 0.377]);
  });
});
