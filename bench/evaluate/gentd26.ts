/**
 * A day of a GPU serving fleet through the real broker and server, as fast as the broker takes it: nothing may be
 * lost, whatever containers come and go. The server is one of its own, in a directory of its own, gone afterwards.
 */
import { join } from 'node:path';
import { openCsv } from '../../src/cli/csv.ts';
import { endpointOf } from '../../src/cli/endpoint.ts';
import { launchIsolated } from '../../src/cli/launch.ts';
import { openRecording } from '../../src/cli/recording.ts';
import { feedAndReport } from '../../src/cli/replay-run.ts';
import type { ReplayReport } from '../../src/cli/report.ts';
import { systemClock as clock } from '../../src/clock.ts';
import { readConfig } from '../../src/config.ts';
import { DataError } from './data-error.ts';
import { loadCsv, numbersOf } from './data-set.ts';
import type { EvaluationContext, EvaluationSet, Figure } from './figure.ts';
import { fleetForecasts } from './gentd26-forecast.ts';

const COLUMNS = { time: 't_s', metric: 'metric', node: 'container', value: 'value' } as const;
/** Node of the samples that are of no container. */
const SYSTEM_NODE = '_';
/** UCUM units of the metrics that have one. */
const UNITS = new Map([
  ['gpu_util_pct', '%'],
  ['gpu_mem_bytes', 'By'],
  ['queue_wait_ms', 'ms'],
  ['inference_ms', 'ms'],
  ['basemodel_load_ms', 'ms'],
]);

export const gentd26: EvaluationSet = {
  name: 'gentd26',
  measures: 'a day of a GPU serving fleet forecast, and through the real broker and server without loss',
  async *run(folder, context) {
    const path = join(folder, 'events.csv.gz');
    const expected = countExpected(path);
    yield* fleetForecasts(path, context);
    const { report, seconds } = await replay(path, context);
    yield* accountFigures(report, expected);
    yield reported('seconds from the first batch to the last map', seconds, 'LOWER');
    yield reported('samples/s', expected.samples / seconds, 'HIGHER');
  },
};

/** What the file holds, counted without the code under test. */
interface Expected {
  readonly samples: number;
  readonly nodes: number;
  /** Windows of the default width with a sample in them. */
  readonly windows: number;
}

function countExpected(path: string): Expected {
  const table = loadCsv(path, Object.values(COLUMNS));
  const times = numbersOf(table, COLUMNS.time, path);
  const values = numbersOf(table, COLUMNS.value, path);
  if (times.length === 0 || !times.every(Number.isFinite) || !values.every(Number.isFinite))
    throw new DataError(path, 'must hold a time and a value in every row');
  const widthSeconds = readConfig({}).TELEMETRY_WINDOW_MS / 1_000;
  const node = table.header.indexOf(COLUMNS.node);
  return {
    samples: values.length,
    nodes: new Set(table.rows.map((row) => row[node]!)).size,
    windows: new Set(times.map((time) => Math.floor(time / widthSeconds))).size,
  };
}

/** Feeds the file to a server of its own and waits until everything that follows from it is done. */
async function replay(path: string, { signal, progress }: EvaluationContext) {
  const own = await launchIsolated(false);
  try {
    const endpoint = endpointOf(own.dataDir, 'managed');
    const file = await openCsv(path);
    const link = endpoint.connect();
    const producer = await endpoint.produce();
    try {
      const startedMs = clock.monotonicMs();
      const report = await feedAndReport({
        recording: openRecording(file, { columns: COLUMNS, node: SYSTEM_NODE, startMs: 0 }),
        batches: {
          domain: 'evaluate',
          cluster: gentd26.name,
          sourceId: 'evaluate',
          units: UNITS,
          kinds: new Map(),
        },
        rate: Number.POSITIVE_INFINITY,
        producer,
        link,
        clock,
        signal,
        progress,
        progressOf: file.progress,
        scores: undefined,
      });
      return { report, seconds: (clock.monotonicMs() - startedMs) / 1_000 };
    } finally {
      file.close();
      link.close();
      await producer.close();
    }
  } finally {
    await own.dispose();
  }
}

/** Offered no more and accepted no less than the file holds, and everything else zero: nothing lost, nothing twice. */
function accountFigures(report: ReplayReport, { samples, windows, nodes }: Expected): Figure[] {
  const { telemetry, gaps, maps } = report;
  return [
    bounded('samples offered', telemetry.offered, samples, 'LOWER'),
    bounded('samples accepted', telemetry.accepted, samples, 'HIGHER'),
    bounded('samples duplicate', telemetry.duplicate, 0, 'LOWER'),
    bounded('samples late', telemetry.late, 0, 'LOWER'),
    bounded('samples rejected', telemetry.rejected, 0, 'LOWER'),
    bounded('sequence gaps', gaps.open + gaps.missing + gaps.closed, 0, 'LOWER'),
    bounded('windows closed', report.windows, windows, 'HIGHER'),
    bounded('maps', maps.count, windows, 'HIGHER'),
    bounded('nodes mapped', maps.nodesMapped, nodes, 'HIGHER'),
    reported('nodes judged', maps.nodesObserved, 'HIGHER'),
  ];
}

function bounded(metric: string, ours: number, target: number, better: Figure['better']): Figure {
  return { metric, ours, baselines: {}, target, better };
}

function reported(metric: string, ours: number, better: Figure['better']): Figure {
  return { metric, ours, baselines: {}, target: undefined, better };
}
