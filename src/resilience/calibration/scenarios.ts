/**
 * Series of known truth, from seeded random numbers: noise that nothing is wrong with, and two published models driven
 * slowly toward a fold, each with a control whose parameter stays. Models are without unit; one sample is one grid
 * slot.
 */
import type { Random } from '../../random.ts';

/** Noise without any change in it: how often it raises an alarm is the rate of false ones. */
export interface Noise {
  readonly name: string;
  readonly intervalMs: number;
  sample(length: number, random: Random): Float64Array;
}

const MINUTE_MS = 60_000;
/** Samples of a day in the daily cycle. */
const DAY_SAMPLES = 96;
const DAILY_NOISE = 0.35;

/** Stationary AR(1) noise with standard normal innovations; phi 0 is white noise. */
export function autoregressiveNoise(phi: number, length: number, random: Random): Float64Array {
  const values = new Float64Array(length);
  let value = random.normal() / Math.sqrt(1 - phi * phi);
  for (let t = 0; t < length; t++) {
    values[t] = value;
    value = phi * value + random.normal();
  }
  return values;
}

/** A sine of amplitude 1 once a day, a random hour at the start, in white noise. */
function dailyCycle(length: number, random: Random): Float64Array {
  const start = random.uniform();
  return Float64Array.from(
    { length },
    (_, t) => Math.sin(2 * Math.PI * (start + t / DAY_SAMPLES)) + DAILY_NOISE * random.normal(),
  );
}

/** The noises that false alarms are counted in. */
export const NOISES: readonly Noise[] = [
  ...[0, 0.5, 0.8, 0.95].map((phi) => ({
    name: phi === 0 ? 'white' : `AR(1) ${phi}`,
    intervalMs: MINUTE_MS,
    sample: (length: number, random: Random) => autoregressiveNoise(phi, length, random),
  })),
  { name: 'daily cycle', intervalMs: (24 * 60 * MINUTE_MS) / DAY_SAMPLES, sample: dailyCycle },
];

/** A model with a parameter that is driven toward a fold, seen until shortly before it. */
export interface Ramp {
  readonly name: string;
  /** Samples until the parameter has its final value. */
  readonly steps: number;
  /** Samples of a run that are seen. */
  readonly seen: number;
  /** The seen part of one run, its parameter driven or, for the control, left where it starts. */
  sample(driven: boolean, random: Random): Float64Array;
}

/** Samples that a model runs before the first one seen, its parameter at the start. */
const BURN_IN = 100;

/**
 * Ricker's fishery: x' = x exp(.75 (1 - x / 10) + xi) - F x^2 / (x^2 + .75^2), xi normal with SD .02, harvest F driven
 * from 0 to 2.7 in 500 steps (T. Bury et al., J. R. Soc. Interface 17, 2020).
 */
export const RICKER: Ramp = {
  name: 'Ricker',
  steps: 500,
  seen: 420,
  sample(driven, random) {
    const { steps, seen } = this;
    return run(0.8, seen, (x, t) => {
      const harvest = driven ? (2.7 * Math.max(0, t)) / (steps - 1) : 0;
      const growth = Math.exp(0.75 * (1 - x / 10) + 0.02 * random.normal());
      return x * growth - (harvest * x * x) / (x * x + 0.75 ** 2);
    });
  },
};

/**
 * May's grazing: dx = (x (1 - x) - h x^2 / (.01 + x^2)) dt + .01 dW, grazing h driven from .15 to .27 in 500 units of
 * time, integrated by Euler and Maruyama with dt .01, one sample a unit (R. May, Nature 269, 1977).
 */
export const MAY: Ramp = {
  name: 'May',
  steps: 500,
  seen: 430,
  sample(driven, random) {
    const { steps, seen } = this;
    const inner = 100;
    const dt = 1 / inner;
    return run(0.8, seen, (start, t) => {
      let x = start;
      for (let i = 0; i < inner; i++) {
        const grazing = 0.15 + (driven ? (0.12 * Math.max(0, t + i * dt)) / steps : 0);
        const drift = x * (1 - x) - (grazing * x * x) / (0.01 + x * x);
        x += drift * dt + 0.01 * Math.sqrt(dt) * random.normal();
      }
      return x;
    });
  },
};

/** Runs a map from `start`; `step` gives the sample after that of time t, negative during the burn-in. */
function run(start: number, seen: number, step: (x: number, t: number) => number): Float64Array {
  const values = new Float64Array(seen);
  let x = start;
  for (let t = -BURN_IN; t < seen; t++) {
    if (t >= 0) values[t] = x;
    x = step(x, t);
  }
  return values;
}
