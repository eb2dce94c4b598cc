/**
 * Advection, diffusion and decay in the waves of a map: u_k = m_k + (u_k - m_k) exp(-kappa - nu |k|^2 - i k c), per
 * window, k in radians a cell. kappa, nu >= 0 are fitted to the logarithm of cross over auto spectrum, c to the phase of
 * the cross spectrum, each weighted by power, over about the last 32 transitions (each forgotten by 1/32 with the next).
 * Two fits are kept: without decay and m = 0, which keeps the total of a periodic map, and with decay to the climatology
 * m. The second answers where its recent error is the lesser and the climatology is of eight correlation times or more:
 * the mean of fewer says more of when it was taken than of where a map returns to, and a map drifts away from it. Maps
 * that are not periodic are continued by their edge, a quarter side in all directions. O(cells log cells). Works in an
 * arena, so one fit runs at a time.
 */
import { arenaFor } from '../../numeric/kernels/arena.ts';
import type { Steps } from '../../numeric/slices.ts';
import type { Climatology } from './climatology.ts';
import type { MapShape, Predictor } from './predictor.ts';
import { createWaves, type Planes, STEP_WAVES, type Waves, wavesBytes } from './waves.ts';

const MEMORY = 32;
/** Waves weaker than this share of the strongest are rounding. */
const POWER_MIN = 1e-12;
const REFINEMENTS = 4;
/** Correlation times 1 / kappa a climatology is of, at least, before maps are said to return to it. */
const CORRELATION_TIMES_MIN = 8;

interface Law {
  kappa: number;
  nu: number;
  /** Cells a window, down the rows and across the columns. */
  rowShift: number;
  colShift: number;
}

/** Spectra of one fit and what was made of them. */
export interface SpectralFit {
  readonly crossRe: Float64Array;
  readonly crossIm: Float64Array;
  readonly auto: Float64Array;
  readonly law: Law;
  /** Recent error of one window ahead, as a share of the change. */
  error: number;
}

export interface SpectralState {
  transitions: number;
  readonly free: SpectralFit;
  readonly decaying: SpectralFit;
}

/** `climatology` gives m. Starts from a state, which it takes over, or from nothing. */
export function createSpectral(
  shape: MapShape,
  climatology: Pick<Climatology, 'mean' | 'span'>,
  from?: SpectralState,
  arena = arenaFor(wavesBytes(shape)),
): Predictor<SpectralState> {
  const waves = createWaves(shape, arena);
  const { size } = waves;
  const state = from ?? { transitions: 0, free: emptyFit(size), decaying: emptyFit(size) };
  const zero: Planes = { re: new Float64Array(size), im: new Float64Array(size) };

  return {
    *learn({ now, before }) {
      if (before === undefined) return;
      const start = waves.transform(before.cells);
      yield;
      const end = waves.transform(now.cells);
      yield;
      const center = waves.transform(climatology.mean());
      yield;
      state.transitions++;
      const share = Math.max(1 / MEMORY, 1 / state.transitions);
      for (const fit of [state.free, state.decaying]) {
        const middle = fit === state.free ? zero : center;
        const error = yield* errorOf(waves, fit.law, start, end, middle);
        fit.error += share * (error - fit.error);
        addTransition(fit, start, end, middle, share);
        yield;
        Object.assign(fit.law, yield* fitLaw(waves, fit, fit === state.decaying));
        yield;
      }
    },
    *predict({ now }, horizons, out) {
      const returns = state.decaying.law.kappa * climatology.span() >= CORRELATION_TIMES_MIN;
      const fit = returns && state.decaying.error < state.free.error ? state.decaying : state.free;
      // One that foretells a window no better than no change has nothing to say of later ones.
      if (fit.error >= 1) {
        for (const cells of out) cells.set(now.cells);
        return;
      }
      const start = waves.transform(now.cells);
      yield;
      // A law without decay knows no mean.
      const middle = fit === state.decaying && fit.law.kappa > 0 ? waves.transform(climatology.mean()) : zero;
      for (const [at, horizon] of horizons.entries()) {
        const ahead = yield* advanced(waves, fit.law, start, middle, horizon);
        waves.back(ahead, out[at]!);
        yield;
      }
    },
    state: () => state,
  };
}

function emptyFit(size: number): SpectralFit {
  const law = { kappa: 0, nu: 0, rowShift: 0, colShift: 0 };
  const plane = () => new Float64Array(size);
  return { crossRe: plane(), crossIm: plane(), auto: plane(), law, error: 0 };
}

function* advanced(waves: Waves, law: Law, start: Planes, middle: Planes, horizon: number): Steps<Planes> {
  const out = { re: new Float64Array(waves.size), im: new Float64Array(waves.size) };
  for (let i = 0; i < waves.tall; i++) {
    for (let j = 0; j < waves.kept; j++) {
      const at = i * waves.stride + j;
      const p = waves.rowWave[i]!;
      const q = waves.colWave[j]!;
      const size = Math.exp(-(law.kappa + law.nu * (p * p + q * q)) * horizon);
      const angle = -(p * law.rowShift + q * law.colShift) * horizon;
      const c = size * Math.cos(angle);
      const s = size * Math.sin(angle);
      const x = start.re[at]! - middle.re[at]!;
      const y = start.im[at]! - middle.im[at]!;
      out.re[at] = middle.re[at]! + c * x - s * y;
      out.im[at] = middle.im[at]! + s * x + c * y;
    }
    if (waves.isPause(i)) yield;
  }
  return out;
}

/** Squared error of one window ahead as a share of the squared change, at most 2; 0 where nothing changed. */
function* errorOf(waves: Waves, law: Law, start: Planes, end: Planes, middle: Planes): Steps<number> {
  const told = yield* advanced(waves, law, start, middle, 1);
  let missed = 0;
  let changed = 0;
  for (let i = 0; i < waves.tall; i++) {
    for (let j = 0; j < waves.kept; j++) {
      const at = i * waves.stride + j;
      const n = waves.count(j);
      missed += n * ((end.re[at]! - told.re[at]!) ** 2 + (end.im[at]! - told.im[at]!) ** 2);
      changed += n * ((end.re[at]! - start.re[at]!) ** 2 + (end.im[at]! - start.im[at]!) ** 2);
    }
  }
  return changed > 0 ? Math.min(2, missed / changed) : 0;
}

function addTransition(fit: SpectralFit, start: Planes, end: Planes, middle: Planes, share: number): void {
  const { crossRe, crossIm, auto } = fit;
  for (let at = 0; at < auto.length; at++) {
    const a = start.re[at]! - middle.re[at]!;
    const b = start.im[at]! - middle.im[at]!;
    const c = end.re[at]! - middle.re[at]!;
    const d = end.im[at]! - middle.im[at]!;
    crossRe[at] = crossRe[at]! + share * (c * a + d * b - crossRe[at]!);
    crossIm[at] = crossIm[at]! + share * (d * a - c * b - crossIm[at]!);
    auto[at] = auto[at]! + share * (a * a + b * b - auto[at]!);
  }
}

function* fitLaw(waves: Waves, fit: SpectralFit, decays: boolean): Steps<Law> {
  return { ...(yield* fitDecay(waves, fit, decays)), ...(yield* fitShift(waves, fit)) };
}

/** Non-negative least squares of -ln |cross / auto| on (1, |k|^2), or on |k|^2 alone. */
function* fitDecay(
  waves: Waves,
  { crossRe, crossIm, auto }: SpectralFit,
  decays: boolean,
): Steps<Pick<Law, 'kappa' | 'nu'>> {
  const floor = POWER_MIN * strongest(auto);
  let w = 0;
  let x = 0;
  let xx = 0;
  let y = 0;
  let xy = 0;
  for (let i = 0; i < waves.tall; i++) {
    for (let j = 0; j < waves.kept; j++) {
      const at = i * waves.stride + j;
      const size = Math.hypot(crossRe[at]!, crossIm[at]!);
      if (!(auto[at]! > floor && size > 0)) continue;
      const weight = waves.count(j) * auto[at]!;
      const square = waves.rowWave[i]! ** 2 + waves.colWave[j]! ** 2;
      const loss = -Math.log(size / auto[at]!);
      w += weight;
      x += weight * square;
      xx += weight * square * square;
      y += weight * loss;
      xy += weight * square * loss;
    }
    if (waves.isPause(i)) yield;
  }
  const alone = xx > 0 ? Math.max(0, xy / xx) : 0;
  if (!decays) return { kappa: 0, nu: alone };
  const determinant = w * xx - x * x;
  if (determinant > 1e-12 * w * xx) {
    const kappa = (xx * y - x * xy) / determinant;
    const nu = (w * xy - x * y) / determinant;
    if (kappa >= 0 && nu >= 0) return { kappa, nu };
    if (kappa < 0) return { kappa: 0, nu: alone };
  }
  return { kappa: w > 0 ? Math.max(0, y / w) : 0, nu: 0 };
}

/**
 * Phase correlation, refined by least squares on what phase the shift found so far leaves. Waves count by the root of
 * their cross power where the shift is looked for, by that power where it is refined: noise has next to none.
 */
function* fitShift(
  waves: Waves,
  { crossRe, crossIm }: SpectralFit,
): Steps<Pick<Law, 'rowShift' | 'colShift'>> {
  const phase = { re: new Float64Array(waves.size), im: new Float64Array(waves.size) };
  const power = new Float64Array(waves.size);
  for (let at = 1; at < power.length; at++) {
    if (at % STEP_WAVES === 0) yield;
    power[at] = Math.hypot(crossRe[at]!, crossIm[at]!);
    if (power[at] === 0) continue;
    const root = Math.sqrt(power[at]!);
    phase.re[at] = crossRe[at]! / root;
    phase.im[at] = crossIm[at]! / root;
  }
  let [rowShift, colShift] = waves.peak(phase);
  yield;
  for (let pass = 0; pass < REFINEMENTS; pass++) {
    let pp = 0;
    let pq = 0;
    let qq = 0;
    let pt = 0;
    let qt = 0;
    for (let i = 0; i < waves.tall; i++) {
      for (let j = 0; j < waves.kept; j++) {
        const at = i * waves.stride + j;
        if (power[at] === 0) continue;
        const p = waves.rowWave[i]!;
        const q = waves.colWave[j]!;
        const turn = p * rowShift + q * colShift;
        const [c, s] = [Math.cos(turn), Math.sin(turn)];
        const left = Math.atan2(phase.im[at]! * c + phase.re[at]! * s, phase.re[at]! * c - phase.im[at]! * s);
        const weight = waves.count(j) * power[at]!;
        pp += weight * p * p;
        pq += weight * p * q;
        qq += weight * q * q;
        pt -= weight * p * left;
        qt -= weight * q * left;
      }
      if (waves.isPause(i)) yield;
    }
    const small = 1e-9 * (pp + qq) + Number.MIN_VALUE;
    const determinant = (pp + small) * (qq + small) - pq * pq;
    rowShift += ((qq + small) * pt - pq * qt) / determinant || 0;
    colShift += ((pp + small) * qt - pq * pt) / determinant || 0;
  }
  return { rowShift, colShift };
}

function strongest(powers: Float64Array): number {
  let most = 0;
  for (let at = 0; at < powers.length; at++) most = Math.max(most, powers[at]!);
  return most;
}
