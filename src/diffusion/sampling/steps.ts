/**
 * The arithmetic of one step of each sampler: x' = keep x + predicted x0 + noise z, with factors that depend on the two
 * levels alone. Levels are shares of signal; a step goes from `level` to the cleaner `next`, which may be 1.
 */

export interface StepFactors {
  readonly keep: number;
  readonly predicted: number;
  /** Of fresh white noise; 0 for none. */
  readonly noise: number;
}

/** Ratio of noise in the score to noise put in that a Langevin step aims at (Y. Song et al., 2021). */
const LANGEVIN_SNR = 0.16;

/**
 * The step of denoising diffusion (J. Song et al., "Denoising diffusion implicit models", 2021): eta 0 is
 * deterministic and an Euler step of the probability flow, eta 1 draws from the posterior of DDPM.
 */
export function ancestralStep(level: number, next: number, eta: number): StepFactors {
  const left = 1 - level;
  const noise = eta * Math.sqrt(((1 - next) / left) * (1 - level / next));
  const direction = Math.sqrt(Math.max(0, 1 - next - noise * noise)) / Math.sqrt(left);
  return { keep: direction, predicted: Math.sqrt(next) - direction * Math.sqrt(level), noise };
}

/** One step of Langevin dynamics at a level: a share of the way along the score, and noise to match. */
export function langevinStep(level: number): StepFactors {
  const share = 2 * LANGEVIN_SNR * LANGEVIN_SNR;
  return {
    keep: 1 - share,
    predicted: share * Math.sqrt(level),
    noise: Math.sqrt(2 * share * (1 - level)),
  };
}

/**
 * A step of second order from predictions at both ends: x' = keep x + first x0 + second x0', x0' being predicted for what
 * the deterministic step gave. The flow is linear but for x0, which is taken to change evenly with the log-SNR between
 * (S. Cox and P. Matthews, "Exponential time differencing for stiff systems", 2002). Of Heun's rule it has the order; unlike
 * it, it holds for steps of any length, since all weights are positive.
 */
export function heunStep(level: number, next: number) {
  const { keep, predicted } = ancestralStep(level, next, 0);
  const signal = Math.sqrt(next);
  const h = 0.5 * Math.log((next * (1 - level)) / (level * (1 - next)));
  const second = Number.isFinite(h) ? signal * (1 + Math.expm1(-h) / h) : signal;
  return { keep, first: predicted - second, second };
}

/**
 * A multistep of DPM-Solver++ (C. Lu et al., 2022): x' = keep x + predicted x0 + before x0', x0' predicted one step
 * earlier at level `earlier`; undefined there, or a step to level 1, is of first order.
 */
export function multistep(earlier: number | undefined, level: number, next: number) {
  const first = ancestralStep(level, next, 0);
  if (earlier === undefined || next === 1) return { ...first, before: 0 };
  const halfLogSnr = (at: number) => 0.5 * Math.log(at / (1 - at));
  const ratio = (halfLogSnr(level) - halfLogSnr(earlier)) / (halfLogSnr(next) - halfLogSnr(level));
  const before = -first.predicted / (2 * ratio);
  return { keep: first.keep, predicted: first.predicted - before, before };
}
