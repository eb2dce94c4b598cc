/**
 * Published sets of real servers, in the folder that TEST_DATA names: per server a training part, then a test
 * part with labelled incidents. One model judges both in one pass, learning from the first window on; what it says of
 * the test part is compared with the labels.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { test } from '@jest/globals';
import { createJudgement } from '../../../src/energy/map/judgement.ts';
import { createStatisticalPlan, NodeModel } from '../../../src/energy/map/statistical.ts';

const data = process.env['TEST_DATA'];
const HALF_LIFE_SECONDS = 4 * 86_400;

export interface ServerSet {
  readonly folder: string;
  readonly windowSeconds: number;
  /** Average precision of each server's principal components, fitted offline to the training part. */
  readonly principalComponents: Readonly<Record<string, number>>;
}

/** How one server was judged. */
export interface ServerResult {
  readonly server: string;
  readonly auroc: number;
  readonly averagePrecision: number;
  /** Average precision of the server's principal components. */
  readonly baseline: number;
  /** Share of the affected metrics among as many and a half of the greatest |z|, mean over incidents. */
  readonly attributed: number;
  readonly allFinite: boolean;
  /** Greatest difference of a window's energy and the sum of its contributions, relative to energies over 1. */
  readonly worstSum: number;
}

interface Incident {
  readonly start: number;
  readonly end: number;
  readonly metrics_1based: readonly number[];
}

/** Declares a test of a set, skipped by its name without data. */
export function testOnData(name: string, body: () => void, timeoutMs: number): void {
  if (data === undefined) test.skip(`${name} (TEST_DATA names no folder of data)`, body);
  else test(name, body, timeoutMs);
}

export function judgeSet(set: ServerSet): ServerResult[] {
  return Object.entries(set.principalComponents).map(([server, baseline]) => ({
    ...judgeServer(set, server),
    baseline,
  }));
}

/** Mean over servers. */
export function meanOf(
  results: readonly ServerResult[],
  measure: 'auroc' | 'averagePrecision' | 'baseline' | 'attributed',
): number {
  return results.reduce((sum, result) => sum + result[measure], 0) / results.length;
}

/** A line per server and one of the means. */
export function describeResults(results: readonly ServerResult[]): string {
  const line = (name: string, r: Omit<ServerResult, 'server' | 'allFinite' | 'worstSum'>) =>
    `${name}: average precision ${r.averagePrecision.toFixed(3)} (principal components ${r.baseline.toFixed(3)}), AUROC ${r.auroc.toFixed(3)}, metrics ${r.attributed.toFixed(3)}`;
  const mean = {
    averagePrecision: meanOf(results, 'averagePrecision'),
    baseline: meanOf(results, 'baseline'),
    auroc: meanOf(results, 'auroc'),
    attributed: meanOf(results, 'attributed'),
  };
  return [...results.map((result) => line(result.server, result)), line('mean', mean)].join('\n');
}

/** An array of metrics x steps. */
function load(folder: string, stem: string) {
  const sidecar = JSON.parse(readFileSync(join(data!, folder, `${stem}.json`), 'utf8'));
  const [metrics, steps] = sidecar.shape as [number, number];
  const raw = gunzipSync(readFileSync(join(data!, folder, `${stem}.bin.gz`)));
  const values = new Float32Array(raw.buffer.slice(raw.byteOffset, raw.byteOffset + raw.byteLength));
  return { metrics, steps, values };
}

/** Area under ROC and average precision of scores against labels, ties shared. */
function rank(scores: Float64Array, labels: Uint8Array) {
  const order = [...scores.keys()].sort((a, b) => scores[b]! - scores[a]!);
  const positives = labels.reduce((sum, label) => sum + label, 0);
  let [hits, misses, area, precision] = [0, 0, 0, 0];
  for (let i = 0; i < order.length; ) {
    let [tiedHits, tiedMisses] = [0, 0];
    const score = scores[order[i]!];
    for (; i < order.length && scores[order[i]!] === score; i++) {
      if (labels[order[i]!] === 1) tiedHits++;
      else tiedMisses++;
    }
    area += tiedMisses * (hits + tiedHits / 2);
    hits += tiedHits;
    misses += tiedMisses;
    precision += tiedHits * (hits / (hits + misses));
  }
  return {
    auroc: area / (positives * (labels.length - positives)),
    averagePrecision: precision / positives,
  };
}

function judgeServer({ folder, windowSeconds }: ServerSet, server: string) {
  const forgetting = 1 - 2 ** (-windowSeconds / HALF_LIFE_SECONDS);
  const model = new NodeModel(createStatisticalPlan(), 0);
  const judgement = createJudgement();
  const labels = JSON.parse(readFileSync(join(data!, folder, `${server}_labels.json`), 'utf8'));
  const incidents = labels.interpretation as readonly Incident[];
  const sizes = incidents.map(() => new Float64Array(judgement.z.length));
  let scores = new Float64Array(0);
  let worstSum = 0;
  for (const part of ['train', 'test']) {
    const { metrics, steps, values } = load(folder, `${server}_${part}`);
    const sample = new Float64Array(metrics);
    scores = new Float64Array(steps);
    for (let step = 0; step < steps; step++) {
      for (let metric = 0; metric < metrics; metric++) sample[metric] = values[metric * steps + step]!;
      if (!model.judge(sample, forgetting, judgement)) continue;
      scores[step] = judgement.surprise;
      const sum = judgement.contribution.reduce((total, one) => total + one, 0);
      worstSum = Math.max(worstSum, Math.abs(sum - judgement.energy) / Math.max(1, judgement.energy));
      if (part === 'train') continue;
      incidents.forEach(({ start, end }, at) => {
        if (step < start || step >= end) return;
        for (let k = 0; k < judgement.count; k++)
          sizes[at]![judgement.metrics[k]!]! += Math.abs(judgement.z[k]!);
      });
    }
  }
  const truth = new Uint8Array(labels.test_length);
  for (const [from, to] of labels.segments_inclusive_0based) truth.fill(1, from, to + 1);
  const found = incidents.map(({ metrics_1based: affected }, at) => {
    const ranked = [...sizes[at]!.keys()].sort((a, b) => sizes[at]![b]! - sizes[at]![a]!);
    const top = new Set(ranked.slice(0, Math.floor(1.5 * affected.length)).map((metric) => metric + 1));
    return affected.filter((metric) => top.has(metric)).length / affected.length;
  });
  return {
    server,
    ...rank(scores, truth),
    attributed: found.reduce((sum, share) => sum + share, 0) / found.length,
    allFinite: scores.every(Number.isFinite),
    worstSum,
  };
}
