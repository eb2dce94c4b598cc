/**
 * How much each predictor counts at one horizon: exponential weights over bounded losses with a fixed share (M. Herbster
 * and M. Warmuth, Machine Learning 32, 1998). Without the share the mean loss of the weights exceeds that of the best
 * predictor by at most ln M / rate + rate n / 8 in sum over n rounds. The rate of a round is that of as many rounds as
 * there were, up to 256, so that the first few already tell (N. Cesa-Bianchi and G. Lugosi, "Prediction, Learning, and
 * Games", 2006, 2.3). A loss is the squared error over twice the running median of the best predictor's, at most 1: a
 * scale set by the good ones, so that a bad one cannot hide the differences between them, and by ordinary rounds, so that
 * a jump or a map of next to no variance cannot hide those of all others. Errors are those of VRMSE, squared, hence free
 * of units.
 */

/** Rounds the rate is tuned for. */
const ROUNDS = 256;
const SHARE = 0.01;
const QUANTILE = 0.5;
const SCALE = 2;
/** Weights up to this many times what the share alone keeps alive are left out of an answer. */
const ALIVE = 1.5;

/** Rate for that many predictors in so many rounds, sqrt(8 ln M / n), n at most 256. */
export function mixingRate(members: number, rounds: number = ROUNDS): number {
  return Math.sqrt((8 * Math.log(members)) / Math.max(1, Math.min(rounds, ROUNDS)));
}

/** Weights after a round of losses in [0, 1]: w e^(-rate loss), then a share spread evenly. They sum to 1. */
export function reweigh(
  weights: readonly number[],
  losses: readonly number[],
  share: number = SHARE,
  rate: number = mixingRate(weights.length),
): number[] {
  const raw = weights.map((weight, at) => weight * Math.exp(-rate * losses[at]!));
  const sum = raw.reduce((total, weight) => total + weight, 0);
  return raw.map((weight) => ((1 - share) * weight) / sum + share / weights.length);
}

export interface MixtureState {
  weights: readonly number[];
  /** Errors of the best predictor in the last rounds, oldest first. */
  best: readonly number[];
}

export function evenMixture(members: number): MixtureState {
  return { weights: new Array(members).fill(1 / members), best: [] };
}

/** The mixture after a round of squared errors, one for each predictor. */
export function learnErrors({ weights, best }: MixtureState, errors: readonly number[]): MixtureState {
  const recent = [...best, Math.min(...errors)].slice(-ROUNDS);
  const sorted = [...recent].sort((a, b) => a - b);
  const scale = SCALE * sorted[Math.ceil(QUANTILE * sorted.length) - 1]!;
  const losses = errors.map((error) =>
    scale > 0 ? Math.min(1, error / scale) : Math.min(1, Math.sign(error)),
  );
  const rate = mixingRate(weights.length, recent.length);
  return { weights: reweigh(weights, losses, SHARE, rate), best: recent };
}

/** Weight that the share keeps a predictor at which loses half a unit more than the best in every round. */
function aliveWeight(members: number): number {
  return SHARE / members / -Math.expm1(-mixingRate(members) / SCALE);
}

/** The weights of an answer: of the predictors allowed, those that count, summing to 1. */
export function answerWeights(weights: readonly number[], allowed?: readonly boolean[]): number[] {
  const asked = weights.map((weight, at) => (allowed === undefined || allowed[at] ? weight : 0));
  const total = asked.reduce((sum, weight) => sum + weight, 0);
  const least = ALIVE * aliveWeight(weights.length) * total;
  const counting = asked.map((weight) => (weight > least ? weight : 0));
  const sum = counting.reduce((all, weight) => all + weight, 0);
  return counting.map((weight) => weight / sum);
}
