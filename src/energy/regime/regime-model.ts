/**
 * The law from features to regimes: multinomial logistic in the features, their squares and their products, each feature
 * first put on an even scale, standardized and held to three deviations, so that what was never seen in training is
 * judged like the nearest that was. A feature that cannot be computed stands at its mean. Coefficients are a versioned
 * data file (coefficients.ts), written by the fitting program. Pure.
 */

import { COEFFICIENTS } from './coefficients.ts';
import { FEATURE_NAMES, SHAPE_NAMES } from './feature.ts';
import type { NamedFeature } from './regime.ts';

/** What is fitted of a law. */
export interface FittedLaw {
  /** Of each feature on its even scale. */
  readonly mean: readonly number[];
  readonly deviation: readonly number[];
  /** Of each regime but WARMING_UP: the weights of the terms, in their order. */
  readonly weights: readonly (readonly number[])[];
}

/** A law of named features. */
export interface RegimeModel extends FittedLaw {
  readonly names: readonly string[];
}

/** What the data file holds. */
export interface Coefficients {
  /** Rises with each fit that is kept. */
  readonly version: number;
  readonly series: FittedLaw;
  readonly spatial: FittedLaw;
}

/** Of a ring of windows. */
export const SERIES_MODEL: RegimeModel = { names: FEATURE_NAMES, ...COEFFICIENTS.series };
/** Of one map alone. */
export const SPATIAL_MODEL: RegimeModel = { names: SHAPE_NAMES, ...COEFFICIENTS.spatial };
export const REGIME_MODEL_VERSION: number = COEFFICIENTS.version;

/** Deviations beyond which a feature counts no more. */
const DEVIATIONS_MAX = 3;

const SIZE = (value: number) => Math.log1p(Math.abs(value));
const SIGNED_SIZE = (value: number) => Math.sign(value) * SIZE(value);

/** Features that are not taken as they are: trends count by their size, ratios by their logarithm. */
const SCALES: Readonly<Record<string, (value: number) => number>> = {
  energy_trend: SIZE,
  entropy_trend: SIZE,
  energy_shift: (value) => Math.log(Math.abs(value) + 1e-2),
  variance_ratio: SIZE,
  correlation_length: (value) => Math.log(value + 0.02),
  gradient_kurtosis: SIGNED_SIZE,
  permutation_entropy: (value) => Math.log(Math.max(0, 1 - value) + 1e-3),
  // The model was fitted to up to 64 windows.
  windows: (value) => Math.log(Math.min(64, value)),
  irreversibility: (value) => Math.log(value + 1e-3),
};

/** A feature as the law takes it. */
export function scaled(name: string, value: number | undefined): number | undefined {
  return value === undefined ? undefined : (SCALES[name]?.(value) ?? value);
}

/** 1, the standardized features, and the products of each two, itself included. */
export function termsOf(
  model: Pick<RegimeModel, 'names' | 'mean' | 'deviation'>,
  features: readonly (number | undefined)[],
): number[] {
  const inputs = model.names.map((name, at) => {
    const value = scaled(name, features[at]);
    if (value === undefined) return 0;
    const z = (value - model.mean[at]!) / model.deviation[at]!;
    return Math.max(-DEVIATIONS_MAX, Math.min(DEVIATIONS_MAX, z));
  });
  const terms = [1, ...inputs];
  for (const [at, input] of inputs.entries())
    for (let other = 0; other <= at; other++) terms.push(input * inputs[other]!);
  return terms;
}

/** Logits of the four regimes. O(features^2). */
export function logitsOf(model: RegimeModel, features: readonly (number | undefined)[]): number[] {
  const terms = termsOf(model, features);
  return model.weights.map((weights) => terms.reduce((sum, term, at) => sum + term * (weights[at] ?? 0), 0));
}

/** The features there are, by name. */
export function namedFeatures(
  { names }: Pick<RegimeModel, 'names'>,
  features: readonly (number | undefined)[],
): NamedFeature[] {
  return names.flatMap((name, at) => {
    const value = features[at];
    return value === undefined ? [] : [{ name, value }];
  });
}
