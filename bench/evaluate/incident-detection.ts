/**
 * How well the surprise of a statistical map, learned online from the first step on, finds the labelled incidents of
 * servers, and whether the deviations it names are those of the metrics affected. Each server is a stream of one node:
 * its training part, then its test part, in one pass. Labels are used for scoring alone.
 */
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { CliFailure } from '../../src/cli/failure.ts';
import { DataError } from './data-error.ts';
import { loadJson, type NumericArray } from './data-set.ts';
import {
  areaUnderRoc,
  averagePrecision,
  hitRate,
  judgeAlarms,
  mean,
  quantile,
  wilsonInterval,
} from './detection-metrics.ts';
import type { EvaluationContext, Figure } from './figure.ts';
import { isObject, type JsonObject, numberAt, objectAt } from './json-members.ts';
import { type LabeledMachine, loadMachine } from './labeled-machine.ts';
import { createOnlineMapper, type JudgedStep } from './online-mapper.ts';

/** Quantile of the training scores above which a step is an alarm. */
const ALARM_QUANTILE = 0.999;
/** Accepted relative difference of an energy and the sum of its contributions. */
const SUM_TOLERANCE = 1e-9;
/** Steps between two turns of the event loop, in which the user may end the program. */
const STEPS_PER_TURN = 1_000;
/** The baseline whose mean average precision is the target: principal components holding 90 % of the variance. */
const RIVAL = 'pca90';

export interface IncidentTargets {
  /** Least accepted mean over machines; undefined where it is only reported. */
  readonly areaUnderRoc: number | undefined;
  readonly attribution: number | undefined;
}

/** What was found on one machine. */
interface MachineOutcome {
  readonly areaUnderRoc: number;
  readonly averagePrecision: number;
  /** Mean share of the affected metrics named, over incidents. */
  readonly attribution: number;
  readonly incidents: number;
  readonly incidentsHit: number;
  readonly falseAlarmEpisodes: number;
  readonly sumError: number;
}

/** Figures of the machines that the folder's `baselines.json` lists. */
export async function* evaluateIncidents(
  folder: string,
  targets: IncidentTargets,
  context: EvaluationContext,
): AsyncGenerator<Figure, void, undefined> {
  const baselines = openBaselines(join(folder, 'baselines.json'));
  const outcomes: MachineOutcome[] = [];
  for (const name of baselines.machines) {
    const outcome = await judgeMachine(loadMachine(folder, name), context);
    outcomes.push(outcome);
    yield {
      metric: `average precision, ${name}`,
      ours: outcome.averagePrecision,
      baselines: baselines.ofMachine(name, 'average_precision'),
      target: undefined,
      better: 'HIGHER',
    };
  }
  yield* meanFigures(outcomes, baselines, targets);
  yield* alarmFigures(outcomes, baselines);
  yield {
    metric: 'largest |sum of contributions - E| / E beyond float32 rounding',
    ours: Math.max(...outcomes.map(({ sumError }) => sumError)),
    baselines: {},
    target: SUM_TOLERANCE,
    better: 'LOWER',
  };
}

function* meanFigures(outcomes: readonly MachineOutcome[], baselines: Baselines, targets: IncidentTargets) {
  const better = 'HIGHER' as const;
  const precision = baselines.ofMean('average_precision');
  yield {
    metric: 'mean average precision',
    ours: mean(outcomes.map((outcome) => outcome.averagePrecision)),
    baselines: precision,
    target: precision[RIVAL],
    better,
  };
  yield {
    metric: 'mean area under ROC',
    ours: mean(outcomes.map((outcome) => outcome.areaUnderRoc)),
    baselines: {},
    target: targets.areaUnderRoc,
    better,
  };
  yield {
    metric: 'affected metrics among the top 150 % by |z|',
    ours: mean(outcomes.map((outcome) => outcome.attribution)),
    baselines: {},
    target: targets.attribution,
    better,
  };
}

function* alarmFigures(outcomes: readonly MachineOutcome[], baselines: Baselines) {
  const sum = (pick: (outcome: MachineOutcome) => number) =>
    outcomes.reduce((total, outcome) => total + pick(outcome), 0);
  const hits = sum((outcome) => outcome.incidentsHit);
  const incidents = sum((outcome) => outcome.incidents);
  const { low, high } = wilsonInterval(hits, incidents);
  yield {
    metric: `incidents hit of ${incidents}, alarms above 99.9 % of training`,
    ours: hits,
    interval: { low: low * incidents, high: high * incidents },
    baselines: baselines.ofMean('incidents_hit_at_train_q999'),
    target: undefined,
    better: 'HIGHER' as const,
  };
  yield {
    metric: 'false-alarm episodes of the same alarms',
    ours: sum((outcome) => outcome.falseAlarmEpisodes),
    baselines: baselines.ofMean('false_alarm_episodes_at_train_q999'),
    target: undefined,
    better: 'LOWER' as const,
  };
}

/** One online pass over both parts of a machine. */
async function judgeMachine(machine: LabeledMachine, context: EvaluationContext): Promise<MachineOutcome> {
  const { incidents, metricCount } = machine;
  const mapper = createOnlineMapper(metricCount, machine.stepMs);
  const trainScores: number[] = [];
  // A step of which the map says nothing scores nothing.
  const testScores = new Float64Array(machine.test.shape[1]!);
  const sizes = incidents.map(() => new Float64Array(metricCount));
  let sumError = 0;
  for (const part of ['train', 'test'] as const) {
    let step = -1;
    for (const sample of samplesOf(machine[part])) {
      step++;
      if (step % STEPS_PER_TURN === 0) await takeTurn(context, `${machine.name} ${part}: step ${step}`);
      const judged = mapper.judge(sample);
      if (judged === undefined) continue;
      sumError = Math.max(sumError, sumErrorOf(judged));
      if (part === 'train') {
        trainScores.push(judged.surprise);
        continue;
      }
      testScores[step] = judged.surprise;
      const at = incidents.findIndex(({ from, to }) => from <= step && step < to);
      if (at >= 0) addDeviations(judged, sizes[at]!);
    }
  }
  const labels = new Uint8Array(testScores.length);
  for (const { from, to } of incidents) labels.fill(1, from, to);
  return {
    areaUnderRoc: areaUnderRoc(testScores, labels),
    averagePrecision: averagePrecision(testScores, labels),
    attribution: mean(incidents.map(({ metrics }, at) => hitRate(sizes[at]!, metrics))),
    incidents: incidents.length,
    ...judgeAlarms(testScores, quantile(Float64Array.from(trainScores), ALARM_QUANTILE), incidents),
    sumError,
  };
}

/** The values of each step in turn, in one array that is written over. */
function* samplesOf({ values, shape }: NumericArray): Generator<Float64Array, void, undefined> {
  const [metricCount, steps] = shape as [number, number];
  const sample = new Float64Array(metricCount);
  for (let step = 0; step < steps; step++) {
    for (let metric = 0; metric < metricCount; metric++) sample[metric] = values[metric * steps + step]!;
    yield sample;
  }
}

/** Lets the event loop turn, in which the user may have asked to end. */
export async function takeTurn({ signal, progress }: EvaluationContext, text: string): Promise<void> {
  await setImmediate();
  if (signal.aborted) throw new CliFailure(1, 'interrupted');
  progress.show(() => text);
}

/** Adds the size of each metric's deviation. */
function addDeviations({ explanation }: JudgedStep, sizes: Float64Array): void {
  explanation.z.forEach((z, k) => {
    sizes[explanation.metric[k]!]! += Math.abs(z);
  });
}

/** Distance of the contributions' sum from the energies that round to the float32 of the map, as a share of it. */
function sumErrorOf({ energy, explanation }: JudgedStep): number {
  const sum = explanation.contribution.reduce((total, one) => total + one, 0);
  const halfUnit = 2 ** (Math.floor(Math.log2(energy)) - 24);
  const beyond = Math.abs(sum - energy) - halfUnit;
  return beyond <= 0 ? 0 : beyond / energy;
}

/** Published results of simple detectors. */
interface Baselines {
  readonly machines: readonly string[];
  /** A quantity by detector. */
  ofMachine(machine: string, quantity: string): Record<string, number>;
  /** The mean, or total, over machines. */
  ofMean(quantity: string): Record<string, number>;
}

function openBaselines(path: string): Baselines {
  const file = loadJson(path);
  const means = objectAt(file, 'mean_over_machines', path);
  const perMachine = objectAt(file, 'per_machine', path);
  const byDetector = (detectors: JsonObject, quantity: string) =>
    Object.fromEntries(
      Object.entries(detectors).map(([detector, results]) => {
        if (!isObject(results)) throw new DataError(path, `must have an object for ${detector}`);
        return [detector, quantityOf(results, quantity, path)];
      }),
    );
  if (means[RIVAL] === undefined) throw new DataError(path, `has no detector ${RIVAL}`);
  return {
    machines: Object.keys(perMachine),
    ofMachine: (machine, quantity) => byDetector(objectAt(perMachine, machine, path), quantity),
    ofMean: (quantity) => byDetector(means, quantity),
  };
}

/** A number, or the first of a text such as `37/63`. */
function quantityOf(results: JsonObject, quantity: string, path: string): number {
  const value = results[quantity];
  const count = typeof value === 'string' ? /^(\d+)\/\d+$/.exec(value)?.[1] : undefined;
  return count === undefined ? numberAt(results, quantity, path) : Number(count);
}
