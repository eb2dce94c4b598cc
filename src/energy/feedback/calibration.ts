/**
 * How far the probabilities of regimes can be trusted, and the one number that mends them: the temperature the logits are
 * divided by (C. Guo et al., "On calibration of modern neural networks", ICML 2017), which leaves the order of regimes
 * alone. Deterministic; labels are judged by the logits of their window, so that a new temperature judges old ones too.
 */
import { goldenSection } from '../../numeric/golden-section.ts';
import { posteriorOf } from '../regime/regime.ts';

/** Labels that count: the newest. */
export const LABELS_MAX = 500;
/** Labels between two fits. */
export const REFIT_LABELS = 50;
const TEMPERATURE_MIN = 0.25;
const TEMPERATURE_MAX = 4;
const BINS = 10;
/** Golden-section steps: the bracket shrinks to 1e-12 of its width. */
const STEPS = 58;

/** A regime that was reported, beside what was judged of its window. */
export interface Label {
  /** Before any temperature, one for each regime that can be reported. */
  readonly logits: readonly number[];
  /** Place of the regime reported among them. */
  readonly regime: number;
}

export interface CalibrationStanding {
  /** Mean squared distance of the probabilities from what was reported, 0 to 2. */
  readonly brier: number;
  /**
   * Mean distance between the probability of the likeliest regime and how often it was the one reported, over ten bins
   * of that probability weighted by their labels, 0 to 1.
   */
  readonly error: number;
}

/** How well these labels were foretold at a temperature; undefined without any. O(labels). */
export function standingOf(labels: readonly Label[], temperature: number): CalibrationStanding | undefined {
  if (labels.length === 0) return undefined;
  const bins = Array.from({ length: BINS }, () => ({ confidence: 0, hits: 0 }));
  let brier = 0;
  for (const { logits, regime } of labels) {
    const posterior = posteriorOf(logits, temperature);
    const confidence = Math.max(...posterior);
    const bin = bins[Math.min(BINS - 1, Math.floor(confidence * BINS))]!;
    bin.confidence += confidence;
    if (posterior[regime] === confidence) bin.hits++;
    posterior.forEach((probability, at) => {
      brier += (probability - (at === regime ? 1 : 0)) ** 2;
    });
  }
  // A bin of n labels counts n / labels times |sum of confidence / n - hits / n|.
  const error = bins.reduce((sum, { confidence, hits }) => sum + Math.abs(confidence - hits), 0);
  return { brier: brier / labels.length, error: error / labels.length };
}

/**
 * The temperature, 0.25 to 4, of the least mean -ln probability of these labels; 1 without any. In 1 / temperature that
 * mean is convex, so golden-section search on its logarithm finds the least one. O(60 labels).
 */
export function fitTemperature(labels: readonly Label[]): number {
  if (labels.length === 0) return 1;
  const lossAt = (logTemperature: number) => lossOf(labels, Math.exp(logTemperature));
  const least = goldenSection(lossAt, Math.log(TEMPERATURE_MIN), Math.log(TEMPERATURE_MAX), STEPS);
  return Math.min(TEMPERATURE_MAX, Math.max(TEMPERATURE_MIN, Math.exp(least)));
}

/** Mean -ln probability; the logarithm is of the exponents, so that an impossible label stays finite. */
function lossOf(labels: readonly Label[], temperature: number): number {
  let loss = 0;
  for (const { logits, regime } of labels) {
    const greatest = Math.max(...logits);
    let sum = 0;
    for (const logit of logits) sum += Math.exp((logit - greatest) / temperature);
    loss += Math.log(sum) - (logits[regime]! - greatest) / temperature;
  }
  return loss / labels.length;
}
