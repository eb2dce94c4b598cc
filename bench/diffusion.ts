/**
 * P8: one map of a Gaussian prior drawn in 50 steps, by the exact probability flow and by DPM-Solver++ (2M), beside the
 * same updates in NumPy on complex128 arrays that are allocated once (`out=`), with scipy.fft and one worker. Both sides
 * start from the same values, transform them, take the steps and transform back; in double precision. Steps that draw
 * noise are timed on the product's side alone.
 */
import { createGaussianDenoiser } from '../src/diffusion/prior/denoiser.ts';
import { createSpectralGrid } from '../src/diffusion/prior/modes.ts';
import { standardGaussian } from '../src/diffusion/prior/prior.ts';
import { createSampler, type SamplerKind } from '../src/diffusion/sampling/sampler.ts';
import { scheduleLevels, visitedLevels } from '../src/diffusion/sampling/schedule.ts';
import type { BenchRow } from './harness.ts';
import { besideNumpy, type SidedCall } from './numpy.ts';

const SIZES = [64, 256, 1024] as const;
/** The size that the bar is for. */
const JUDGED = 256;
const BAR = 2;
const STEPS = 50;
const STEP_MS_MAX = 10;
const TOLERANCE = 1e-9;
const NOISY_SECONDS = 1;

const PROGRAM = `
import numpy as np

STEPS = 50
ALL = np.cumprod(1 - np.linspace(1e-4, 0.02, 1000))
LEVELS = [float(ALL[int(np.floor(1000 - i * 1000 / STEPS + 0.5)) - 1]) for i in range(STEPS)] + [1.0]

def prior(n):
    k = 2 * np.pi * np.arange(n) / n
    S = 1 / (4.5 - 2 * np.cos(k)[:, None] - 2 * np.cos(k[:n // 2 + 1])[None, :])
    share = np.full(n // 2 + 1, 2.0)
    share[0] = 1
    share[n // 2] = 1
    S /= (S * share).sum() / (n * n)
    i = np.arange(n * n)
    M = scipy.fft.rfft2((i % 17 / 17).reshape(n, n), workers=1)
    x = ((i * 7919 % 10007) / 10007 - 0.5).reshape(n, n)
    return S, M, x

def flow(n):
    S, M, start = prior(n)
    before, after, t, held = np.empty_like(S), np.empty_like(S), np.empty_like(M), [start]
    def call():
        x = scipy.fft.rfft2(start, workers=1)
        for a, b in zip(LEVELS, LEVELS[1:]):
            np.multiply(S, a, out=before); np.add(before, 1 - a, out=before)
            np.multiply(S, b, out=after); np.add(after, 1 - b, out=after)
            np.divide(after, before, out=after); np.sqrt(after, out=after)
            np.multiply(M, a ** 0.5, out=t); np.subtract(x, t, out=x)
            np.multiply(x, after, out=x)
            np.multiply(M, b ** 0.5, out=t); np.add(x, t, out=x)
        held[0] = scipy.fft.irfft2(x, s=start.shape, workers=1)
    return call, lambda: (held[0] ** 2).sum()

def half_log_snr(a):
    return 0.5 * np.log(a / (1 - a))

def multistep(n):
    S, M, start = prior(n)
    gain, t, x0, last, held = np.empty_like(S), np.empty_like(M), np.empty_like(M), np.empty_like(M), [start]
    def call():
        nonlocal x0, last
        x = scipy.fft.rfft2(start, workers=1)
        for i in range(STEPS):
            a, b = LEVELS[i], LEVELS[i + 1]
            keep = ((1 - b) / (1 - a)) ** 0.5
            first = b ** 0.5 - keep * a ** 0.5
            other = 0.0
            if i > 0 and b < 1:
                r = (half_log_snr(a) - half_log_snr(LEVELS[i - 1])) / (half_log_snr(b) - half_log_snr(a))
                other = -first / (2 * r)
            np.multiply(S, a, out=gain); np.add(gain, 1 - a, out=gain)
            np.divide(S, gain, out=gain); np.multiply(gain, a ** 0.5, out=gain)
            np.multiply(M, a ** 0.5, out=t); np.subtract(x, t, out=x0)
            np.multiply(x0, gain, out=x0); np.add(x0, M, out=x0)
            np.multiply(x, keep, out=x)
            np.multiply(x0, first - other, out=t); np.add(x, t, out=x)
            if other != 0:
                np.multiply(last, other, out=t); np.add(x, t, out=x)
            x0, last = last, x0
        held[0] = scipy.fft.irfft2(x, s=start.shape, workers=1)
    return call, lambda: (held[0] ** 2).sum()

CALLS = dict(EXACT_FLOW=flow, DPM_SOLVER_PP_2M=multistep)
`;

/** A call that draws one map from fixed values instead of noise. */
function drawing(sampler: SamplerKind, size: number) {
  const grid = createSpectralGrid(size, size);
  const gaussian = standardGaussian(grid);
  grid.forward(
    Float64Array.from({ length: grid.cells }, (_, i) => (i % 17) / 17),
    gaussian.mean,
  );
  const levels = visitedLevels(scheduleLevels({ kind: 'LINEAR' }, 1000), 'TRAILING', STEPS);
  const recipe = { sampler, levels, eta: 0, correctorSteps: 1, predictionType: 'SAMPLE', seed: 1n } as const;
  const machine = createSampler(grid, createGaussianDenoiser(gaussian), recipe);
  const start = Float64Array.from({ length: grid.cells }, (_, i) => ((i * 7919) % 10007) / 10007 - 0.5);
  const x = grid.newModes();
  const cells = new Float64Array(grid.cells);
  return {
    cells,
    call() {
      grid.forward(start, x);
      machine.advance({ sample: 0, step: 0, x, before: undefined }, STEPS);
      grid.back(x, cells);
    },
  };
}

function callOf(sampler: SamplerKind, size: number): SidedCall {
  const { call, cells } = drawing(sampler, size);
  const isJudged = size === JUDGED;
  return {
    name: sampler,
    size,
    title: `diffusion sampling, ${sampler}, ${STEPS} steps, ${size} x ${size}, against the same updates in NumPy`,
    bar: isJudged ? BAR : 0,
    call,
    checksum: () => cells.reduce((sum, cell) => sum + cell * cell, 0),
    tolerance: TOLERANCE,
    notes: isJudged ? [] : ['reported only'],
  };
}

/** Milliseconds of a step that draws noise. */
function noisyStepMs(): number {
  const { call } = drawing('DDPM', JUDGED);
  call();
  const begun = performance.now();
  let calls = 0;
  for (; performance.now() - begun < NOISY_SECONDS * 1000; calls++) call();
  return (performance.now() - begun) / (calls * STEPS);
}

/** The judged size says what its steps take. */
function withSteps(row: BenchRow, { size }: SidedCall): BenchRow {
  if (size !== JUDGED) return row;
  return {
    ...row,
    checks: [
      { name: 'ms a step', value: 1000 / (row.rateA * STEPS), atMost: STEP_MS_MAX },
      { name: 'ms a DDPM step, noise included', value: noisyStepMs(), atMost: STEP_MS_MAX },
    ],
  };
}

export const diffusion = besideNumpy(
  { id: 'P8', title: 'diffusion sampling against the same updates in NumPy', bar: BAR },
  PROGRAM,
  () =>
    (['EXACT_FLOW', 'DPM_SOLVER_PP_2M'] as const).map((sampler) =>
      SIZES.map((size) => () => callOf(sampler, size)),
    ),
  withSteps,
);
