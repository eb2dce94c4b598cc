/**
 * `npm run calibrate -- [--replicates N] [--threads N] [--json FILE]`: how often early warnings are false, per look,
 * in noise that nothing is wrong with, and how well they tell a slow ramp toward a fold from its control. Runs the
 * product's own assessment on its own worker threads, seeded: same replicates, same figures. Exits 1 when a rate of
 * false alarms or an area under the curve misses its bar, 2 on bad arguments.
 */
import { writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { createWorkerPool } from '../src/numeric/worker-pool.ts';
import { createRandom } from '../src/random.ts';
import { MAY, NOISES, type Noise, type Ramp, RICKER } from '../src/resilience/calibration/scenarios.ts';
import {
  type AlarmRates,
  alarmRates,
  alarmsAreRare,
  areaUnderCurve,
  deviateOf,
  FALSE_ALARMS_MAX,
  SCORED,
  type Share,
} from '../src/resilience/calibration/score.ts';
import {
  type Assessment,
  type AssessmentOptions,
  assess,
  type RunMetric,
} from '../src/resilience/early-warning/assessment.ts';
import type { Series } from '../src/resilience/early-warning/series.ts';
import { createMetricRunner } from '../src/resilience/early-warning/worker.ts';

const REPLICATES = 400;
/** Looks under way for each thread, so that none waits for work. */
const LOOKS_PER_THREAD = 2;
const LENGTHS = [64, 256, 512];
const METRICS = [1, 5];
const MINUTE_MS = 60_000;
/** The product's defaults. */
const OPTIONS: Omit<AssessmentOptions, 'seed'> = {
  surrogates: 199,
  alpha: 0.05,
  detrend: 'GAUSSIAN',
  bandwidth: 0.2,
  rolling: 0.5,
};

/** False alarms in one kind of noise. */
interface NoiseCell {
  readonly noise: string;
  readonly length: number;
  readonly metrics: number;
  readonly rates: AlarmRates;
}

/** How well one model's ramp is told from its control, and what severity ramps get. */
interface RampCell {
  readonly model: string;
  readonly seen: number;
  readonly area: number;
  readonly areaMin: number;
  readonly rates: AlarmRates;
}

const RAMPS: ReadonlyArray<{ readonly ramp: Ramp; readonly areaMin: number }> = [
  { ramp: RICKER, areaMin: 0.95 },
  { ramp: MAY, areaMin: 0.9 },
];

/** Runs `count` tasks, at most `limit` at a time; results in the order of their numbers. */
async function inParallel<Result>(
  count: number,
  limit: number,
  task: (index: number) => Promise<Result>,
): Promise<Result[]> {
  const results = new Array<Result>(count);
  let next = 0;
  const lane = async () => {
    while (next < count) {
      const index = next++;
      results[index] = await task(index);
    }
  };
  await Promise.all(Array.from({ length: limit }, lane));
  return results;
}

/** What a calibration needs: where metrics are judged, and how often each cell is repeated. */
interface Laboratory {
  readonly run: RunMetric;
  readonly threads: number;
  readonly replicates: number;
}

async function falseAlarms(
  laboratory: Laboratory,
  noise: Noise,
  length: number,
  metrics: number,
): Promise<NoiseCell> {
  const looks = await inParallel(laboratory.replicates, LOOKS_PER_THREAD * laboratory.threads, (seed) => {
    const series = Array.from({ length: metrics }, (_, metric): Series => {
      const values = noise.sample(length, createRandom(seed, streamOf(noise, length, metric)));
      return { name: `metric-${metric}`, intervalMs: noise.intervalMs, values };
    });
    return assess(series, { ...OPTIONS, seed }, laboratory.run);
  });
  return { noise: noise.name, length, metrics, rates: alarmRates(looks.map(({ severity }) => severity)) };
}

/** Each noise, length and metric draws from a stream of its own. */
function streamOf(noise: Noise, length: number, metric: number): number {
  return (NOISES.indexOf(noise) * LENGTHS.length + LENGTHS.indexOf(length)) * Math.max(...METRICS) + metric;
}

async function rampCell(laboratory: Laboratory, ramp: Ramp, areaMin: number): Promise<RampCell> {
  const look = (driven: boolean) =>
    inParallel(laboratory.replicates, LOOKS_PER_THREAD * laboratory.threads, (seed) => {
      const values = ramp.sample(driven, createRandom(seed, driven ? 1 : 0));
      return assess(
        [{ name: 'metric-0', intervalMs: MINUTE_MS, values }],
        { ...OPTIONS, seed },
        laboratory.run,
      );
    });
  const ramps = await look(true);
  const controls = await look(false);
  const scores = (looks: readonly Assessment[]) => looks.map(({ metrics }) => deviateOf(metrics[0]!.finding));
  return {
    model: ramp.name,
    seen: ramp.seen,
    area: areaUnderCurve(scores(ramps), scores(controls)),
    areaMin,
    rates: alarmRates(ramps.map(({ severity }) => severity)),
  };
}

function percent({ share, low, high }: Share): string {
  const figure = (value: number) => (100 * value).toFixed(1);
  return `${figure(share)} (${figure(low)}..${figure(high)})`;
}

function printRow(...cells: readonly (string | number)[]): void {
  console.log(`| ${cells.join(' | ')} |`);
}

function printHead(...cells: readonly string[]): void {
  printRow(...cells, ...SCORED.map((severity) => `${severity} or worse, %`), 'result');
  printRow(...[...cells, ...SCORED, 'result'].map(() => '---'));
}

function printCell(cells: readonly (string | number)[], rates: AlarmRates, met: boolean): void {
  printRow(...cells, ...SCORED.map((severity) => percent(rates[severity])), met ? 'met' : 'MISSED');
}

async function calibrateNoises(laboratory: Laboratory): Promise<NoiseCell[]> {
  const cells: NoiseCell[] = [];
  printHead('noise', 'samples', 'metrics');
  for (const noise of NOISES)
    for (const length of LENGTHS)
      for (const metrics of METRICS) {
        const cell = await falseAlarms(laboratory, noise, length, metrics);
        printCell([noise.name, length, metrics], cell.rates, alarmsAreRare(cell.rates));
        cells.push(cell);
      }
  const limits = Object.entries(FALSE_ALARMS_MAX).map(([severity, most]) => `${severity} ${100 * most} %`);
  console.log(
    `\n95 % intervals over ${laboratory.replicates} looks; upper ends at most: ${limits.join(', ')}.\n`,
  );
  return cells;
}

async function calibrateRamps(laboratory: Laboratory): Promise<RampCell[]> {
  const cells: RampCell[] = [];
  printHead('ramp', 'samples', 'area under the curve', 'at least');
  for (const { ramp, areaMin } of RAMPS) {
    const cell = await rampCell(laboratory, ramp, areaMin);
    printCell([cell.model, cell.seen, cell.area.toFixed(3), areaMin], cell.rates, cell.area >= areaMin);
    cells.push(cell);
  }
  return cells;
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: { replicates: { type: 'string' }, threads: { type: 'string' }, json: { type: 'string' } },
  });
  const replicates = Number(values.replicates ?? REPLICATES);
  const threads = Number(values.threads ?? availableParallelism());
  if (!(Number.isInteger(replicates) && replicates > 0 && Number.isInteger(threads) && threads > 0)) {
    console.error('usage: npm run calibrate -- [--replicates N] [--threads N] [--json FILE]');
    return 2;
  }
  const pool = createWorkerPool({ threads, queueMax: LOOKS_PER_THREAD * threads * Math.max(...METRICS) });
  try {
    const laboratory = { run: createMetricRunner(pool), threads, replicates };
    const noises = await calibrateNoises(laboratory);
    const ramps = await calibrateRamps(laboratory);
    if (values.json !== undefined) {
      const report = { replicates, options: OPTIONS, noises, ramps };
      writeFileSync(values.json, `${JSON.stringify(report, null, 2)}\n`);
    }
    const met =
      noises.every(({ rates }) => alarmsAreRare(rates)) &&
      ramps.every(({ area, areaMin }) => area >= areaMin);
    return met ? 0 : 1;
  } finally {
    await pool.close();
  }
}

process.exitCode = await main();
