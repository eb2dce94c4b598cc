/**
 * What the families would show without slowing down: surrogate series in which the state is kept and the residuals
 * are replaced by a stationary AR(1) process, detrended again as the observed series was. Detrending takes memory and
 * variance out of a process, so the process is chosen such that its residuals *after* detrending have the observed
 * lag-1 autocorrelation and variance; a fit to the residuals themselves would have too little memory and raise false
 * alarms.
 */
import { SequentialTest } from '../../numeric/sequential-test.ts';
import type { Random } from '../../random.ts';
import type { DetrendPlan } from './detrend.ts';
import { type FamilyPlan, fisherZ } from './families.ts';
import { lagOne } from './indicators.ts';

/** x[t] = phi x[t-1] + scale e[t], e standard normal, started in its stationary distribution. */
export interface Autoregression {
  readonly phi: number;
  readonly scale: number;
}

/** The observed series, split, and how. */
export interface Observation {
  readonly state: Float64Array;
  readonly residuals: Float64Array;
  readonly detrend: DetrendPlan;
  readonly families: FamilyPlan;
  /** Lag-1 autocorrelation that LEVEL compares the last quarter with; absent: that of the first quarter. */
  readonly referenceLagOne?: number;
}

/** Trial processes averaged when a process is chosen: adds 3 % to the error that the estimate of phi has anyway. */
const TRIALS = 16;
/** Range of phi searched, in Fisher's z: from -.98 to .999. */
const Z_MIN = Math.atanh(-0.98);
const Z_MAX = Math.atanh(0.999);
/** Precision of the search in z, well under the spread of the trials' mean. */
const MATCH_PRECISION = 2e-3;
const MATCH_STEPS_MAX = 12;
/** Least share of the observed variance that is taken for fluctuation. */
const VARIANCE_SHARE_MIN = 1e-3;

/** Writes one realization with the given standard normal innovations to `out`, which may alias them. */
export function autoregress(
  { phi, scale }: Autoregression,
  innovations: Float64Array,
  out: Float64Array,
): void {
  let previous = (scale * innovations[0]!) / Math.sqrt(1 - phi * phi);
  out[0] = previous;
  for (let t = 1; t < out.length; t++) {
    previous = phi * previous + scale * innovations[t]!;
    out[t] = previous;
  }
}

/**
 * Tests both families of an observation against at most `drawsMax` surrogates, which they share. Each family stops
 * drawing by itself, so its p does not depend on the other.
 *
 * With a known reference LEVEL asks whether the present still has the memory of the reference. Its null is therefore
 * the process whose last quarter, after detrending, has the reference's autocorrelation, not the process fitted to
 * the series: after a rise that one has the risen memory itself and would explain the rise away. Both processes are
 * driven by the same innovations.
 */
export function testFamilies(
  observation: Observation,
  drawsMax: number,
  random: Random,
): { readonly trend: SequentialTest; readonly level: SequentialTest } {
  const { residuals, families, referenceLagOne } = observation;
  const trend = new SequentialTest(families.trend(residuals), drawsMax);
  const level = new SequentialTest(families.level(residuals, referenceLagOne), drawsMax);
  const { fitted, referred } = chooseProcesses(observation, random);
  const surrogate = createSurrogate(observation);
  const innovations = new Float64Array(residuals.length);
  while (!(trend.ended && level.ended)) {
    fillNormal(random, innovations);
    const drawn = surrogate(fitted, innovations);
    if (!trend.ended) trend.add(families.trend(drawn));
    if (level.ended) continue;
    const calm = referred === undefined ? drawn : surrogate(referred, innovations);
    level.add(families.level(calm, referenceLagOne));
  }
  return { trend, level };
}

/** The process that matches the whole series and, with a known reference, the one whose last quarter matches that. */
export function chooseProcesses(
  observation: Observation,
  random: Random,
): { readonly fitted: Autoregression; readonly referred: Autoregression | undefined } {
  const { residuals, families, referenceLagOne } = observation;
  const { length } = residuals;
  const match = createMatch(observation, random);
  return {
    fitted: match(0, lagOne(residuals, 0, length)),
    referred: referenceLagOne === undefined ? undefined : match(length - families.quarter, referenceLagOne),
  };
}

/** Chooses the process whose residuals from a sample to the end have, on average, a lag-1 autocorrelation. */
type Match = (from: number, targetLagOne: number) => Autoregression;

/**
 * Matching by trials: the same innovations serve every phi, so the mean autocorrelation, in Fisher's z, is a smooth
 * increasing function of phi whose root is searched for. It holds for any detrending, linear or not, and for the
 * autocorrelation of short series, which has no closed form. About 50 detrendings.
 */
function createMatch({ state, residuals, detrend }: Observation, random: Random): Match {
  const { length } = residuals;
  const variance = sumOfSquares(residuals) / length;
  const innovations = Array.from({ length: TRIALS }, () => fillNormal(random, new Float64Array(length)));
  const trials = Array.from({ length: TRIALS }, () => new Float64Array(length));
  const realization = new Float64Array(length);
  // What detrending leaves of the state: the bends it cannot follow are in the observed residuals as well.
  const bend = new Float64Array(length);
  detrend.residuals(state, bend);
  const free = Math.max(variance - sumOfSquares(bend) / length, VARIANCE_SHARE_MIN * variance);

  /** Fills the trials with residuals of unit innovations; returns the scale that gives them the observed variance. */
  const fillTrials = (phi: number): number => {
    let squares = 0;
    innovations.forEach((drawn, k) => {
      autoregress({ phi, scale: 1 }, drawn, realization);
      detrend.residuals(realization, trials[k]!);
      squares += sumOfSquares(trials[k]!);
    });
    return Math.sqrt((free * length * TRIALS) / squares);
  };
  const meanZ = (scale: number, from: number): number => {
    let sum = 0;
    for (const trial of trials) {
      for (let t = from; t < length; t++) realization[t] = bend[t]! + scale * trial[t]!;
      sum += fisherZ(lagOne(realization, from, length));
    }
    return sum / TRIALS;
  };
  return (from, targetLagOne) => {
    const target = fisherZ(targetLagOne);
    return search(target, (z) => {
      const phi = Math.tanh(z);
      const scale = fillTrials(phi);
      return { process: { phi, scale }, excess: meanZ(scale, from) - target };
    });
  };
}

/** A process tried, and by how much its autocorrelation is too large, in Fisher's z. */
interface Trial {
  readonly process: Autoregression;
  readonly excess: number;
}

/**
 * The process whose excess, which grows with z, is about 0, or the one at the end of the range of z where none is:
 * sought from a guess first as if the slope were 1, then by secants, held inside the bracket found so far.
 */
function search(guess: number, tryAt: (z: number) => Trial): Autoregression {
  let low = Z_MIN;
  let high = Z_MAX;
  let z = Math.max(low, Math.min(high, guess));
  let trial = tryAt(z);
  let slope = 1;
  for (let step = 0; step < MATCH_STEPS_MAX && Math.abs(trial.excess) > MATCH_PRECISION; step++) {
    if (trial.excess < 0) low = z;
    else high = z;
    const aimed = z - trial.excess / slope;
    const next = aimed > low && aimed < high ? aimed : untried(aimed, low, high);
    if (next === z) break;
    const nextTrial = tryAt(next);
    const secant = (nextTrial.excess - trial.excess) / (next - z);
    if (secant > 0) slope = secant;
    z = next;
    trial = nextTrial;
  }
  return trial.process;
}

/** Where to try when the aim lies outside the bracket: that end where it is one of the range, else the middle. */
function untried(aimed: number, low: number, high: number): number {
  if (aimed >= high && high === Z_MAX) return high;
  if (aimed <= low && low === Z_MIN) return low;
  return (low + high) / 2;
}

/** Makes residuals of surrogates; the array returned is overwritten by the next call. */
function createSurrogate({ state, detrend }: Observation) {
  const values = new Float64Array(state.length);
  const residuals = new Float64Array(state.length);
  return (process: Autoregression, innovations: Float64Array): Float64Array => {
    autoregress(process, innovations, values);
    for (let t = 0; t < values.length; t++) values[t]! += state[t]!;
    detrend.residuals(values, residuals);
    return residuals;
  };
}

function fillNormal(random: Random, out: Float64Array): Float64Array {
  for (let t = 0; t < out.length; t++) out[t] = random.normal();
  return out;
}

function sumOfSquares(values: Float64Array): number {
  let sum = 0;
  for (let t = 0; t < values.length; t++) sum += values[t]! * values[t]!;
  return sum;
}
