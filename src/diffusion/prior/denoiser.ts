/**
 * What a sampler asks at each step: given a noisy grid x = sqrt(level) x0 + sqrt(1 - level) e, what was x0, or e? For a
 * Gaussian prior the best answer is known exactly, mode by mode; for a mixture, component by component. A trained network
 * can stand behind the same port; what needs the Gaussian itself is then refused.
 */
import { logScales, type ModeMixture, onlyComponent, sharesOfLogs } from './mixture.ts';
import type { Modes, SpectralGrid } from './modes.ts';
import { type ModeGaussian, noisyDistance } from './prior.ts';

/** EPSILON: the noise e; SAMPLE: x0; V: sqrt(level) e - sqrt(1 - level) x0. Any one of them gives the others. */
export type PredictionType = 'EPSILON' | 'SAMPLE' | 'V';

export interface Denoiser {
  /** Writes the prediction for modes `x` at `level`, in (0, 1), SAMPLE and V also at 0. `out` is not `x`. */
  predict(x: Modes, level: number, type: PredictionType, out: Modes): void;
  /** The Gaussian it predicts for, where it does so exactly. */
  readonly gaussian?: ModeGaussian;
  /** Whether its predictions are all of one x0 to rounding, so that the one that is stable may be asked for. */
  readonly exact?: boolean;
}

/** The exact denoiser of a Gaussian. O(modes) a prediction. */
export function createGaussianDenoiser(gaussian: ModeGaussian): Denoiser {
  const { mean, power } = gaussian;
  return {
    gaussian,
    exact: true,
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

/** The exact denoiser of a prior: of each component the answer, weighed by responsibility. O(components modes). */
export function createDenoiser(grid: SpectralGrid, mixture: ModeMixture): Denoiser {
  const single = onlyComponent(mixture);
  if (single) return createGaussianDenoiser(single);
  const denoisers = mixture.components.map(createGaussianDenoiser);
  const answer = grid.newModes();
  /** Of each level met, the logarithms of what the components' densities have in common: samples share their levels. */
  const scales = new Map<number, Float64Array>();
  const scalesAt = (level: number) => {
    const known = scales.get(level) ?? logScales(grid, mixture, Math.sqrt(level), 1 - level);
    scales.set(level, known);
    return known;
  };
  return {
    exact: true,
    predict(x, level, type, out) {
      const [signal, noise] = [Math.sqrt(level), 1 - level];
      const shares = sharesOfLogs(
        scalesAt(level).map(
          (log, j) => log - noisyDistance(grid, mixture.components[j]!, signal, noise, x) / 2,
        ),
      );
      out.re.fill(0);
      out.im.fill(0);
      for (const [j, denoiser] of denoisers.entries()) {
        const share = shares[j]!;
        if (share === 0) continue;
        denoiser.predict(x, level, type, answer);
        for (let k = 0; k < grid.size; k++) {
          out.re[k] = out.re[k]! + share * answer.re[k]!;
          out.im[k] = out.im[k]! + share * answer.im[k]!;
        }
      }
    },
  };
}

/**
 * Turns a prediction for `x` at `level` into that of x0, in place. EPSILON needs a level over 0, and errs by its rounding
 * over the root of the level.
 */
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
