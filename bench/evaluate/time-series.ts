/**
 * One metric over time, read from gzipped CSV and judged by the product's own mapper, online, from its first step on.
 * Steps follow each other as windows do, whatever gaps and repeats the times have.
 */
import { DataError } from './data-error.ts';
import { loadCsv, numbersOf } from './data-set.ts';
import { quantile } from './detection-metrics.ts';
import type { EvaluationContext } from './figure.ts';
import { takeTurn } from './incident-detection.ts';
import { createOnlineMapper } from './online-mapper.ts';

/** Often enough that an interrupt is answered within a second. */
const STEPS_PER_TURN = 1_000;

export interface TimeSeries {
  readonly name: string;
  /** Times as `2014-02-14 14:30:00`, UTC. */
  readonly times: readonly string[];
  /** NaN where a value is missing. */
  readonly values: Float64Array;
  /** 1 where labeled anomalous; all 0 without a column of labels. */
  readonly labels: Uint8Array;
  /** Median time from a step to the next, ms. */
  readonly stepMs: number;
}

export interface Columns {
  readonly time: string;
  readonly value: string;
  readonly label?: string;
}

/** Reads a series. Throws a DataError when the file is missing or not in its form. */
export function loadTimeSeries(path: string, name: string, columns: Columns): TimeSeries {
  const { time, value, label } = columns;
  const table = loadCsv(path, label === undefined ? [time, value] : [time, value, label]);
  const at = table.header.indexOf(time);
  const times = table.rows.map((row) => row[at]!.trim().replace('T', ' ').slice(0, 19));
  const instants = times.map((text) => Date.parse(`${text.replace(' ', 'T')}Z`));
  const bad = instants.findIndex(Number.isNaN);
  if (bad >= 0) throw new DataError(path, `row ${bad + 1} has "${times[bad]}" as ${time}, which is no time`);
  const gaps = Float64Array.from(instants.slice(1), (instant, i) => instant - instants[i]!);
  const stepMs = quantile(gaps, 0.5);
  if (!(stepMs > 0)) throw new DataError(path, 'must have at least two rows, in order of time');
  const values = numbersOf(table, value, path);
  const labels =
    label === undefined ? new Uint8Array(values.length) : Uint8Array.from(numbersOf(table, label, path));
  return { name, times, values, labels, stepMs };
}

/** What the maps of a series said, step by step; 0 where they said nothing. */
export interface SeriesJudgement {
  /** In [0, 1). */
  readonly scores: Float64Array;
  /** Nats. */
  readonly surprises: Float64Array;
}

/** One online pass over a series. */
export async function judgeSeries(series: TimeSeries, context: EvaluationContext): Promise<SeriesJudgement> {
  const { name, values, stepMs } = series;
  const mapper = createOnlineMapper(1, stepMs);
  const scores = new Float64Array(values.length);
  const surprises = new Float64Array(values.length);
  for (let step = 0; step < values.length; step++) {
    if (step % STEPS_PER_TURN === 0) await takeTurn(context, `${name}: step ${step}`);
    const judged = mapper.judge(values.subarray(step, step + 1));
    if (judged === undefined) continue;
    scores[step] = judged.score;
    surprises[step] = judged.surprise;
  }
  return { scores, surprises };
}
