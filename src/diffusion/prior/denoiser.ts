/**
 * What a sampler asks at each step: given a noisy grid x = sqrt(level) x0 + sqrt(1 - level) e, what was x0, or e? For a
 * Gaussian prior the best answer is known exactly, mode by mode. A trained network can stand behind the same port; what
 * needs the Gaussian itself is then refused.
 */
import type { Modes } from './modes.ts';
import type { ModeGaussian } from './prior.ts';

/** EPSILON: the noise e; SAMPLE: x0; V: sqrt(level) e - sqrt(1 - level) x0. Any one of them gives the others. */
export type PredictionType = 'EPSILON' | 'SAMPLE' | 'V';

export interface Denoiser {
  /** Writes the prediction for modes `x` at `level`, in (0, 1), SAMPLE and V also at 0. `out` is not `x`. */
  predict(x: Modes, level: number, type: PredictionType, out: Modes): void;
  /** The Gaussian it predicts for, where it does so exactly. */
  readonly gaussian?: ModeGaussian;
}

/** The exact denoiser of a Gaussian. O(modes) a prediction. */
export function createGaussianDenoiser(gaussian: ModeGaussian): Denoiser {
  const { mean, power } = gaussian;
  return {
    gaussian,
    predict(x, level, type, out) {
      const signal = Math.sqrt(level);
      const noise = Math.sqrt(1 - level);
      for (let k = 0; k < power.length; k++) {
        const variance = power[k]!;
        const inverse = 1 / (level * variance + 1 - level);
        // The prediction is gain (x - signal M) + offset M.
        const [gain, offset] =
          type === 'EPSILON'
            ? [noise * inverse, 0]
            : type === 'SAMPLE'
              ? [signal * variance * inverse, 1]
              : [signal * noise * (1 - variance) * inverse, -noise];
        const re = mean.re[k]!;
        const im = mean.im[k]!;
        out.re[k] = gain * (x.re[k]! - signal * re) + offset * re;
        out.im[k] = gain * (x.im[k]! - signal * im) + offset * im;
      }
    },
  };
}

/** Turns a prediction for `x` at `level` into that of x0, in place. EPSILON needs a level over 0. */
export function toSample(x: Modes, level: number, type: PredictionType, prediction: Modes): void {
  if (type === 'SAMPLE') return;
  const signal = Math.sqrt(level);
  const noise = Math.sqrt(1 - level);
  const [keep, subtract] = type === 'EPSILON' ? [1 / signal, noise / signal] : [signal, noise];
  for (const part of ['re', 'im'] as const) {
    const from = x[part];
    const to = prediction[part];
    for (let k = 0; k < to.length; k++) to[k] = keep * from[k]! - subtract * to[k]!;
  }
}
