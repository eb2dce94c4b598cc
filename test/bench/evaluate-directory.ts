/** Small made-up data directories in the layout the evaluation reads. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { createRandom } from '../../src/random.ts';

export const METRICS = 3;
export const TRAIN_STEPS = 400;
export const TEST_STEPS = 200;

/** Incidents of the made-up machine: first and last step, affected metrics from 1. */
export const INCIDENTS = [
  { start: 20, last: 29, metrics: [1, 2] },
  { start: 100, last: 100, metrics: [3] },
];

export async function writeArray(stem: string, shape: readonly number[], values: Float32Array) {
  await writeFile(`${stem}.bin.gz`, gzipSync(new Uint8Array(values.buffer)));
  await writeJson(`${stem}.json`, { dtype: 'float32', shape, sampling: '1 min' });
}

export async function writeJson(path: string, content: unknown) {
  await writeFile(path, JSON.stringify(content));
}

/** Labels as published; members given replace those of the made-up machine. */
export function labels(changes: object = {}) {
  return {
    test_length: TEST_STEPS,
    anomalous_steps: 11,
    segments_inclusive_0based: INCIDENTS.map(({ start, last }) => [start, last]),
    interpretation: INCIDENTS.map(({ start, last, metrics }) => ({
      start,
      end: last + 1,
      metrics_1based: metrics,
    })),
    ...changes,
  };
}

/** Noise about 0.5 in which incidents lift their metrics far up. */
function noise(steps: number, seed: number, incidents: typeof INCIDENTS): Float32Array {
  const random = createRandom(seed);
  const values = Float32Array.from({ length: METRICS * steps }, () => 0.5 + 0.01 * random.normal());
  for (const { start, last, metrics } of incidents) {
    for (const metric of metrics) {
      for (let step = start; step <= last; step++) values[(metric - 1) * steps + step]! += 0.4;
    }
  }
  return values;
}

/** Writes one machine and the baselines of a set; `rivalPrecision` is the mean average precision to be reached. */
export async function writeServers(folder: string, rivalPrecision: number): Promise<void> {
  await mkdir(folder, { recursive: true });
  const stem = join(folder, 'machine-a');
  await writeArray(`${stem}_train`, [METRICS, TRAIN_STEPS], noise(TRAIN_STEPS, 1, []));
  await writeArray(`${stem}_test`, [METRICS, TEST_STEPS], noise(TEST_STEPS, 2, INCIDENTS));
  await writeJson(`${stem}_labels.json`, labels());
  await writeJson(join(folder, 'baselines.json'), {
    mean_over_machines: {
      pca90: {
        average_precision: rivalPrecision,
        incidents_hit_at_train_q999: '1/2',
        false_alarm_episodes_at_train_q999: 7,
      },
    },
    per_machine: { 'machine-a': { pca90: { average_precision: rivalPrecision } } },
  });
}

/** Writes a fleet of two containers and one metric of the whole system, `ticks` ticks of 57 s. */
export async function writeFleet(folder: string, ticks: number): Promise<void> {
  await mkdir(folder, { recursive: true });
  const rows = ['t_s,metric,container,value'];
  for (let tick = 0; tick < ticks; tick++) {
    const t = tick * 57;
    for (const container of ['c000', 'c001'])
      rows.push(
        `${t},gpu_util_pct,${container},${50 + (tick % 7)}`,
        `${t},mem_util,${container},0.00${tick % 5}1`,
      );
    rows.push(`${t},queue_size,,${tick % 3}`);
  }
  await writeFile(join(folder, 'events.csv.gz'), gzipSync(`${rows.join('\n')}\n`));
}
