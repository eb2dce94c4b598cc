/**
 * What a regime is and how one is told: a multinomial logistic law over features, and the hysteresis that keeps a label.
 * Posteriors are in the order of REGIMES and sum to 1. Pure.
 */

/** The regimes, in the order of every posterior and of the contract's enum. */
export const REGIMES = ['EQUILIBRIUM', 'TRANSITION', 'CRITICAL', 'CHAOTIC', 'WARMING_UP'] as const;
export type RegimeName = (typeof REGIMES)[number];

/** Regimes a model tells apart: all but WARMING_UP. */
export const JUDGED = 4;
/** The posterior while there is too little to judge. */
export const WARMING_UP: readonly number[] = [0, 0, 0, 0, 1];
/** Windows without which a series is not judged. */
export const WINDOWS_MIN = 16;

/** SPATIAL: how the cells of one map lie. SERIES: maps handed in. STREAM: what was learned of a stream. */
export type RegimeBasis = 'SPATIAL' | 'SERIES' | 'STREAM';

/** A feature by name. */
export interface NamedFeature {
  readonly name: string;
  readonly value: number;
}

/** What was judged of one map. */
export interface RegimeJudgement {
  /** The label in force: it follows the posterior by hysteresis. */
  readonly label: RegimeName;
  /** The label before, where this map changed it. */
  readonly changedFrom: RegimeName | undefined;
  /** Of all five, in the order of REGIMES. */
  readonly posterior: readonly number[];
  /** Of the four that are told apart, before any temperature; empty while warming up. */
  readonly logits: readonly number[];
  /** What it rests on; those that cannot be computed are left out. */
  readonly features: readonly NamedFeature[];
  readonly basis: RegimeBasis;
  /** Maps it was judged from. */
  readonly windows: number;
  /** Start of the window the last change point was traced back to; undefined without one. */
  readonly onsetMs: number | undefined;
  /** From there to the start of the newest window; undefined without one. */
  readonly sinceOnsetMs: number | undefined;
  /** Maps since the last alarm of change, 0 at it; undefined without one. */
  readonly sinceAlarm: number | undefined;
}

/** The judgement of a stream that has shown nothing yet. */
export const NOTHING_JUDGED: RegimeJudgement = {
  label: 'WARMING_UP',
  changedFrom: undefined,
  posterior: WARMING_UP,
  logits: [],
  features: [],
  basis: 'STREAM',
  windows: 0,
  onsetMs: undefined,
  sinceOnsetMs: undefined,
  sinceAlarm: undefined,
};

/** softmax(logits / temperature) and no WARMING_UP. `temperature` over 0. */
export function posteriorOf(logits: readonly number[], temperature: number): number[] {
  const greatest = Math.max(...logits);
  const weights = logits.map((logit) => Math.exp((logit - greatest) / temperature));
  const sum = weights.reduce((total, weight) => total + weight, 0);
  return [...weights.map((weight) => weight / sum), 0];
}

/** The regime of the greatest probability. */
export function likeliest(posterior: readonly number[]): RegimeName {
  return REGIMES[posterior.indexOf(Math.max(...posterior))]!;
}

/** A label and who is about to take it. */
export interface HeldLabel {
  readonly label: RegimeName;
  readonly challenger: RegimeName | undefined;
  /** Windows in a row the challenger has led. */
  readonly led: number;
}

export const NO_LABEL: HeldLabel = { label: 'WARMING_UP', challenger: undefined, led: 0 };

const LEAD = 0.15;
const LEAD_WINDOWS = 3;
const CERTAIN = 0.9;

/**
 * The label after one more posterior: it changes when the same other regime leads by 0.15 for 3 windows, or reaches 0.9;
 * WARMING_UP is left, and come back to, at once.
 */
export function heldLabel(before: HeldLabel, posterior: readonly number[]): HeldLabel {
  const best = likeliest(posterior);
  const stays: HeldLabel = { label: before.label, challenger: undefined, led: 0 };
  if (best === before.label) return stays;
  const [own, other] = [posterior[REGIMES.indexOf(before.label)]!, posterior[REGIMES.indexOf(best)]!];
  const isPlain = before.label === 'WARMING_UP' || best === 'WARMING_UP' || other >= CERTAIN;
  if (!isPlain && other - own < LEAD) return stays;
  const led = before.challenger === best ? before.led + 1 : 1;
  if (isPlain || led >= LEAD_WINDOWS) return { label: best, challenger: undefined, led: 0 };
  return { label: before.label, challenger: best, led };
}
