/** What a node's model said of one window: written over from call to call, so judging allocates nothing. */

/** Most metrics of a model. */
export const METRICS_MAX = 64;

/**
 * Entry k of the arrays belongs to metric `metrics[k]` of the stream. A missing metric stands with its expectation:
 * z 0, contribution 1/2.
 */
export interface Judgement {
  /** Metrics judged, present or missing: entries in use of the arrays. */
  count: number;
  /** Sum of the contributions. */
  energy: number;
  /** -ln Pr(chi-square >= 2E) over the metrics present, at least 0. */
  surprise: number;
  /** How little of what the node has shown before explains the window, nats, at least 0: what scores are made of. */
  evidence: number;
  readonly metrics: Int32Array;
  readonly value: Float64Array;
  readonly expected: Float64Array;
  readonly z: Float64Array;
  readonly contribution: Float64Array;
}

export function createJudgement(): Judgement {
  return {
    count: 0,
    energy: 0,
    surprise: 0,
    evidence: 0,
    metrics: new Int32Array(METRICS_MAX),
    value: new Float64Array(METRICS_MAX),
    expected: new Float64Array(METRICS_MAX),
    z: new Float64Array(METRICS_MAX),
    contribution: new Float64Array(METRICS_MAX),
  };
}
