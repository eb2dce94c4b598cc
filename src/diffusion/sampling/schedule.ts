/**
 * Noise schedules: the share of signal (the level, alpha-bar) after t of T steps of adding noise, strictly falling,
 * and which of these levels a sampler visits on its way back. Levels lie in (0, 1); only one that was rescaled to end
 * without signal ends at 0.
 */

/** A schedule by name, with its parameters where it has any. */
export type Schedule =
  | { readonly kind: 'LINEAR' | 'SCALED_LINEAR' | 'COSINE' | 'SIGMOID' | 'KARRAS' }
  | {
      readonly kind: 'BOLTZMANN';
      /** At least 0.001: the log-SNR moves in proportion to e^(-log-SNR / temperature). */
      readonly temperature: number;
    };

/** TRAILING ends at the noisiest level, LEADING at the cleanest, LINSPACE at both. */
export type Spacing = 'TRAILING' | 'LEADING' | 'LINSPACE';

const LINEAR = { from: 1e-4, to: 0.02 };
const SCALED_LINEAR = { from: 8.5e-4, to: 0.012 };
const COSINE_SHIFT = 0.008;
const SIGMOID = { reach: 3, least: 1e-9, greatest: 1 - 1e-4 };
/** Bounds of the noise one step adds where a curve is given by its levels. */
const STEP = { least: 1e-9, greatest: 0.999 };
/** BOLTZMANN runs between the ends that LINEAR has with this many steps. */
const BOLTZMANN_TRAIN_STEPS = 1000;
const KARRAS = { least: 0.002, greatest: 80, exponent: 7 };

/** Levels after 1, 2, ... T steps, T at least 2. O(T). */
export function scheduleLevels(schedule: Schedule, trainSteps: number): Float64Array {
  const between = (t: number) => (t - 1) / (trainSteps - 1);
  const each = (level: (t: number) => number) =>
    Float64Array.from({ length: trainSteps }, (_, index) => level(index + 1));
  switch (schedule.kind) {
    case 'LINEAR':
      return products(each((t) => LINEAR.from + (LINEAR.to - LINEAR.from) * between(t)));
    case 'SCALED_LINEAR': {
      const [from, to] = [Math.sqrt(SCALED_LINEAR.from), Math.sqrt(SCALED_LINEAR.to)];
      return products(each((t) => (from + (to - from) * between(t)) ** 2));
    }
    case 'COSINE':
      return curve(trainSteps, (tau) => {
        const angle = ((tau + COSINE_SHIFT) / (1 + COSINE_SHIFT)) * (Math.PI / 2);
        return Math.cos(angle) ** 2;
      });
    case 'SIGMOID': {
      const { reach, least, greatest } = SIGMOID;
      const span = logistic(reach) - logistic(-reach);
      return curve(trainSteps, (tau) => {
        if (tau === 0) return 1;
        const level = (logistic(reach) - logistic(2 * reach * tau - reach)) / span;
        return Math.min(greatest, Math.max(least, level));
      });
    }
    case 'BOLTZMANN': {
      const from = logit(1 - LINEAR.from);
      const to = logit(scheduleLevels({ kind: 'LINEAR' }, BOLTZMANN_TRAIN_STEPS).at(-1)!);
      return each((t) => logistic(boltzmannLogSnr(from, to, schedule.temperature, between(t))));
    }
    case 'KARRAS': {
      const { least, greatest, exponent } = KARRAS;
      const [low, high] = [least ** (1 / exponent), greatest ** (1 / exponent)];
      return each((t) => 1 / (1 + ((low + (high - low) * between(t)) ** exponent) ** 2));
    }
  }
}

/** T ln[(1 - tau) e^(from / T) + tau e^(to / T)], arranged to be exact for a high temperature and finite for a low one. */
function boltzmannLogSnr(from: number, to: number, temperature: number, tau: number): number {
  const fall = (to - from) / temperature;
  if (fall > -1) return from + temperature * Math.log1p(tau * Math.expm1(fall));
  const [first, second] = [Math.log(1 - tau), Math.log(tau) + fall];
  const most = Math.max(first, second);
  return from + temperature * (most + Math.log(Math.exp(first - most) + Math.exp(second - most)));
}

/** Levels from the noise each step adds. */
function products(betas: Float64Array): Float64Array {
  let level = 1;
  return betas.map((beta) => {
    level *= 1 - beta;
    return level;
  });
}

/** Levels that follow a falling curve of t / T, the noise of each step held to its bounds. */
function curve(trainSteps: number, levelAt: (tau: number) => number): Float64Array {
  let before = levelAt(0);
  const betas = new Float64Array(trainSteps);
  for (let t = 1; t <= trainSteps; t++) {
    const level = levelAt(t / trainSteps);
    betas[t - 1] = Math.min(STEP.greatest, Math.max(STEP.least, 1 - level / before));
    before = level;
  }
  return products(betas);
}

/**
 * The levels moved so that the last is 0 and the first stays: no signal is left at the end (S. Lin et al., "Common
 * diffusion noise schedules and sample steps are flawed", WACV 2024).
 */
export function withoutFinalSignal(levels: Float64Array): Float64Array {
  const first = Math.sqrt(levels[0]!);
  const last = Math.sqrt(levels.at(-1)!);
  const scale = first / (first - last);
  return levels.map((level) => (scale * (Math.sqrt(level) - last)) ** 2);
}

/** The levels a sampler of `steps` steps starts each from, noisiest first; 1 <= steps <= levels. */
export function visitedLevels(levels: Float64Array, spacing: Spacing, steps: number): Float64Array {
  const trainSteps = levels.length;
  const place = (index: number): number => {
    if (spacing === 'TRAILING') return Math.round(trainSteps - (index * trainSteps) / steps) - 1;
    const fromClean = steps - 1 - index;
    if (spacing === 'LEADING') return fromClean * Math.floor(trainSteps / steps);
    return steps === 1 ? trainSteps - 1 : Math.round((fromClean * (trainSteps - 1)) / (steps - 1));
  };
  return Float64Array.from({ length: steps }, (_, index) => levels[place(index)]!);
}

function logistic(x: number): number {
  return 1 / (1 + Math.exp(-x));
}

function logit(p: number): number {
  return Math.log(p / (1 - p));
}
