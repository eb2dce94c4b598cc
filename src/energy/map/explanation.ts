/**
 * Which metrics of which nodes carry a statistical map's energy: per node every metric judged, with its deviation and
 * its contribution. Plain columns, so that a window of thousands of entries is one small object to keep. The
 * contributions of a node sum to its energy; a missing metric stands with its expectation, z 0 and contribution 1/2.
 */
import { runThrough, type Steps } from '../../numeric/slices.ts';
import type { Judgement } from './judgement.ts';

export interface Explanation {
  /** Metrics of the stream; `metric` points into it. */
  readonly metricNames: readonly string[];
  /** Observed nodes, in byte order of their names. */
  readonly nodes: readonly string[];
  /** -ln Pr(chi-square >= 2E) of each node. */
  readonly surprise: Float64Array;
  /** How little of what each node has shown before explains its window, nats; undefined in older ones. */
  readonly evidence?: Float64Array;
  /** Entries of node i: `offsets[i]` to `offsets[i + 1]`. */
  readonly offsets: Uint32Array;
  readonly metric: Uint8Array;
  readonly value: Float64Array;
  readonly expected: Float64Array;
  readonly z: Float64Array;
  readonly contribution: Float64Array;
}

export interface ExplainedMetric {
  readonly name: string;
  readonly value: number;
  readonly expected: number;
  readonly z: number;
  readonly contribution: number;
}

export interface ExplainedNode {
  readonly node: string;
  readonly energy: number;
  readonly surprise: number;
  /** e / (1 + e), e the node's evidence: the greatest of a map is the map's score. */
  readonly score: number;
  /** Greatest |z| first. */
  readonly metrics: readonly ExplainedMetric[];
}

/** Collects the judgements of one window; `add` copies what it is given. */
export interface ExplanationBuilder {
  add(node: string, judgement: Judgement): void;
  build(metricNames: readonly string[]): Steps<Explanation>;
}

/** `nodesMax` and `metricsMax` bound what is added. */
export function createExplanationBuilder(nodesMax: number, metricsMax: number): ExplanationBuilder {
  const nodes: string[] = [];
  const surprise = new Float64Array(nodesMax);
  const evidence = new Float64Array(nodesMax);
  const offsets = new Uint32Array(nodesMax + 1);
  const size = nodesMax * metricsMax;
  const metric = new Uint8Array(size);
  const columns = {
    value: new Float64Array(size),
    expected: new Float64Array(size),
    z: new Float64Array(size),
    contribution: new Float64Array(size),
  };
  let used = 0;
  return {
    add(node, judgement) {
      surprise[nodes.length] = judgement.surprise;
      evidence[nodes.length] = judgement.evidence;
      nodes.push(node);
      metric.set(judgement.metrics.subarray(0, judgement.count), used);
      for (const name of ['value', 'expected', 'z', 'contribution'] as const)
        columns[name].set(judgement[name].subarray(0, judgement.count), used);
      used += judgement.count;
      offsets[nodes.length] = used;
    },
    *build(metricNames) {
      function* cut(column: Float64Array): Steps<Float64Array> {
        yield;
        return column.slice(0, used);
      }
      return {
        metricNames,
        nodes,
        surprise: surprise.slice(0, nodes.length),
        evidence: evidence.slice(0, nodes.length),
        offsets: offsets.slice(0, nodes.length + 1),
        metric: metric.slice(0, used),
        value: yield* cut(columns.value),
        expected: yield* cut(columns.expected),
        z: yield* cut(columns.z),
        contribution: yield* cut(columns.contribution),
      };
    },
  };
}

/** Every node explained, most energetic first, each with at most `top` metrics. */
export function* explainNodesSteps(explanation: Explanation, top: number): Steps<ExplainedNode[]> {
  const explained: ExplainedNode[] = [];
  for (let at = 0; at < explanation.nodes.length; at++) {
    explained.push(explainAt(explanation, at, top));
    yield;
  }
  return explained.sort((a, b) => b.energy - a.energy || (a.node < b.node ? -1 : 1));
}

/** The same without a pause. */
export function explainNodes(explanation: Explanation, top: number): ExplainedNode[] {
  return runThrough(explainNodesSteps(explanation, top));
}

/** One node explained; undefined when the map did not observe it. */
export function explainNode(explanation: Explanation, node: string, top: number): ExplainedNode | undefined {
  const at = explanation.nodes.indexOf(node);
  return at < 0 ? undefined : explainAt(explanation, at, top);
}

function explainAt(explanation: Explanation, at: number, top: number): ExplainedNode {
  const from = explanation.offsets[at]!;
  const to = explanation.offsets[at + 1]!;
  const metrics: ExplainedMetric[] = [];
  let energy = 0;
  for (let k = from; k < to; k++) {
    const contribution = explanation.contribution[k]!;
    energy += contribution;
    metrics.push({
      name: explanation.metricNames[explanation.metric[k]!]!,
      value: explanation.value[k]!,
      expected: explanation.expected[k]!,
      z: explanation.z[k]!,
      contribution,
    });
  }
  metrics.sort((a, b) => Math.abs(b.z) - Math.abs(a.z) || b.contribution - a.contribution);
  const surprise = explanation.surprise[at]!;
  return {
    node: explanation.nodes[at]!,
    energy,
    surprise,
    score: scoreOf(explanation.evidence?.[at] ?? surprise),
    metrics: metrics.slice(0, top),
  };
}

/** Beyond it e / (1 + e) is 1 in a double. */
const EVIDENCE_MAX = 1e15;

/** e / (1 + e), e the evidence in nats: in [0, 1) and rising with it, 1/2 at 1 nat. */
export function scoreOf(evidence: number): number {
  const bounded = Math.min(EVIDENCE_MAX, evidence);
  return bounded / (1 + bounded);
}
