/** `homeostat replay`: feeds a recording through a server in its own event time and reports what became of it. */
import { writeFileSync } from 'node:fs';
import { basename } from 'node:path';
import { describeError } from '../errors.ts';
import { MetricKind } from '../gen/homeostat/telemetry/v1/telemetry_service_pb.ts';
import type { BatchOptions } from './batches.ts';
import { defineCommand, type Given, type Terminal } from './command.ts';
import { openCsv } from './csv.ts';
import { type Endpoint, endpointOf } from './endpoint.ts';
import { type ExitCode, unusable } from './failure.ts';
import { launchIsolated } from './launch.ts';
import { createProgress } from './progress.ts';
import { openRecording, type Recording } from './recording.ts';
import { feedAndReport } from './replay-run.ts';
import type { ReplayReport } from './report.ts';
import { isBalanced } from './stream-account.ts';
import { NODE, readName, readPairs, readRate, readStartMs, TOKEN } from './values.ts';

export const replayOptions = {
  to: {
    value: '<dir>',
    meaning: 'Data directory of a running server; default a server of its own, gone afterwards.',
  },
  keep: { meaning: "Keeps the data directory of the replay's own server." },
  rate: {
    value: '<max|Nx>',
    meaning: 'Seconds of event time per second; default max, as fast as the broker takes it.',
  },
  start: { value: '<date>', meaning: 'What numeric times count seconds from; default 1970-01-01.' },
  domain: { value: '<name>', meaning: 'Domain of the stream; default replay.' },
  cluster: { value: '<name>', meaning: "Cluster of the stream; default made of the file's name." },
  node: { value: '<name>', meaning: 'Node of samples whose row names none; default _.' },
  report: { value: '<file>', meaning: 'Writes the report as JSON.' },
  scores: { value: '<file>', meaning: 'Writes window_end,node,energy,surprise,score,top_metrics as CSV.' },
  'time-column': {
    value: '<name>',
    meaning: 'Column of the time; default timestamp, time or the first one.',
  },
  'node-column': { value: '<name>', meaning: 'Column of the node.' },
  'metric-column': { value: '<name>', meaning: 'Long form: column of the metric.' },
  'value-column': { value: '<name>', meaning: 'Long form: column of the value.' },
  unit: {
    value: '<metric>=<unit>',
    repeated: true,
    meaning: 'Unit of a metric in UCUM notation; default 1.',
  },
  kind: { value: '<metric>=<kind>', repeated: true, meaning: 'GAUGE (default), COUNTER or DELTA.' },
} as const;

export const replay = defineCommand({
  name: 'replay',
  summary: 'Feeds a recording (CSV, optionally gzipped) through NATS in its own event time.',
  positionals: ['<file>'],
  options: replayOptions,
  notes: [
    'Wide files have a time column and one column per metric. Long files name their metric and value columns.\n' +
      'Times without a zone are UTC. Empty values are skipped and counted; so are rows that cannot be read.',
  ],
  async run(given, [path], terminal) {
    const rate = readRate('rate', given.rate ?? 'max');
    const batches = batchOptions(given, path!);
    for (const target of [given.report, given.scores]) if (target !== undefined) checkWritable(target);
    const file = await openCsv(path!);
    try {
      const recording = openRecording(file, {
        columns: {
          time: given['time-column'],
          node: given['node-column'],
          metric: given['metric-column'],
          value: given['value-column'],
        },
        node: readName('node', given.node ?? '_', NODE),
        startMs: readStartMs(given.start),
      });
      const run = { recording, batches, rate, progressOf: file.progress, scores: given.scores };
      const report = await withServer(given, terminal, (endpoint) => execute(run, endpoint, terminal));
      if (given.report !== undefined) writeFileSync(given.report, `${JSON.stringify(report, null, 2)}\n`);
      return conclude(report, terminal);
    } finally {
      file.close();
    }
  },
});

interface Run {
  readonly recording: Recording;
  readonly batches: Omit<BatchOptions, 'epoch'>;
  readonly rate: number;
  readonly progressOf: () => number;
  readonly scores: string | undefined;
}

function batchOptions(given: Given<typeof replayOptions>, path: string): Omit<BatchOptions, 'epoch'> {
  const cluster = basename(path)
    .replace(/\.gz$/, '')
    .replace(/\.csv$/, '');
  return {
    domain: readName('domain', given.domain ?? 'replay', TOKEN),
    cluster: readName('cluster', given.cluster ?? clusterName(cluster), TOKEN),
    sourceId: 'replay',
    units: readPairs('unit', given.unit),
    kinds: new Map([...readPairs('kind', given.kind)].map(([metric, kind]) => [metric, readKind(kind)])),
  };
}

/** A file's name as a cluster: what is not allowed becomes `_`. */
export function clusterName(stem: string): string {
  return stem.replace(/[^A-Za-z0-9_-]/g, '_').slice(0, 64) || 'recording';
}

const KINDS: ReadonlyMap<string, MetricKind> = new Map([
  ['GAUGE', MetricKind.GAUGE],
  ['COUNTER', MetricKind.COUNTER],
  ['DELTA', MetricKind.DELTA],
]);

function readKind(text: string): MetricKind {
  const kind = KINDS.get(text);
  if (kind === undefined) throw unusable(`--kind must be GAUGE, COUNTER or DELTA, not "${text}"`);
  return kind;
}

/** A result that cannot be written is found out before the work, not after. */
function checkWritable(path: string): void {
  try {
    writeFileSync(path, '');
  } catch (error) {
    throw unusable(`${path} cannot be written: ${describeError(error)}`, error);
  }
}

/** Hands over the server to replay to: the one named, or one of its own that is gone afterwards. */
async function withServer<Result>(
  given: { readonly to: string | undefined; readonly keep: boolean },
  terminal: Terminal,
  use: (endpoint: Endpoint) => Promise<Result>,
): Promise<Result> {
  if (given.to !== undefined) return use(endpointOf(given.to, 'environment'));
  const own = await launchIsolated(given.keep);
  try {
    return await use(endpointOf(own.dataDir, 'managed'));
  } finally {
    await own.dispose();
    if (given.keep) terminal.err.write(`data kept in ${own.dataDir}\n`);
  }
}

async function execute(run: Run, endpoint: Endpoint, terminal: Terminal): Promise<ReplayReport> {
  const { clock, signal } = terminal;
  const progress = createProgress(terminal);
  const link = endpoint.connect();
  const producer = await endpoint.produce();
  try {
    return await feedAndReport({ ...run, producer, link, clock, signal, progress });
  } finally {
    progress.end();
    link.close();
    await producer.close();
  }
}

/** Says what happened and whether everything is accounted for. */
function conclude(report: ReplayReport, { out, err }: Terminal): ExitCode {
  const { telemetry, recording, maps, levelChanges } = report;
  const highest = Math.max(1, ...levelChanges.map((change) => change.to));
  out.write(
    [
      `rows ${recording.rows}: ${recording.samples} samples, ${recording.emptyValues} empty values, ` +
        `${recording.unparsableRows} unparsable, ${recording.repeatedTimestamps} repeated timestamps, ` +
        `${recording.stepsBack} steps back, ${recording.gaps} gaps`,
      `samples offered ${telemetry.offered}: accepted ${telemetry.accepted}, duplicate ${telemetry.duplicate}, ` +
        `late ${telemetry.late}, rejected ${telemetry.rejected}`,
      `maps ${maps.count}: ${maps.nodesMapped} nodes mapped, ${maps.nodesObserved} observed`,
      `defense level at most ${highest}, changed ${levelChanges.length} times`,
      `digest ${report.digest}`,
      '',
    ].join('\n'),
  );
  const judged = telemetry.offered - telemetry.duplicate;
  if (isBalanced(telemetry) && judged === recording.samples) return 0;
  err.write(`homeostat: ${recording.samples} samples were sent but ${judged} are accounted for\n`);
  return 1;
}
