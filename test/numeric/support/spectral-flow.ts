/**
 * Solvers of periodic flows for tests: transport in time by Runge-Kutta of fourth order with the decay of each mode
 * exact (an integrating factor), space by Fourier series on the kernels' transforms, products dealiased by the rule of
 * two thirds (S. Orszag, 1971). Sides are of length `lengths`; grids row-major, rows along y.
 */
import { createArena } from '../../../src/numeric/kernels/arena.ts';
import { createGridFft } from '../../../src/numeric/kernels/fft-plan.ts';

export interface Box {
  readonly rows: number;
  readonly cols: number;
  /** Along the rows' direction (y), and along the columns' (x). */
  readonly lengths: readonly [number, number];
}

interface Planes {
  readonly re: Float64Array;
  readonly im: Float64Array;
}

/** Half spectra of one box. */
function createSpectrum({ rows, cols, lengths }: Box) {
  const arena = createArena(8);
  const plan = createGridFft(arena, 'float64', rows, cols);
  const { stride, kept } = plan;
  const size = rows * stride;
  const [grid, re, im] = [arena.float64(rows * cols), arena.float64(size), arena.float64(size)];
  const wave = (at: number, side: number, length: number) =>
    (2 * Math.PI * (2 * at > side ? at - side : at)) / length;
  const ky = new Float64Array(size);
  const kx = new Float64Array(size);
  /** 1 for the modes that products may have. */
  const held = new Float64Array(size);
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < kept; j++) {
      const at = i * stride + j;
      ky[at] = wave(i, rows, lengths[0]);
      kx[at] = wave(j, cols, lengths[1]);
      const isHeld = 3 * j < cols && (rows === 1 || 3 * Math.min(i, rows - i) < rows);
      held[at] = isHeld ? 1 : 0;
    }
  }
  return {
    size,
    kx,
    ky,
    held,
    forward(values: Float64Array): Planes {
      grid.set(values);
      plan.forward(grid, re, im);
      return { re: re.slice(), im: im.slice() };
    },
    back(planes: Planes): Float64Array {
      re.set(planes.re);
      im.set(planes.im);
      plan.back(re, im, grid);
      return grid.slice();
    },
  };
}
type Spectrum = ReturnType<typeof createSpectrum>;

/** The spectrum of squares asked for last: a flow is carried step by step. */
let last: { readonly rows: number; readonly cols: number; readonly spectrum: Spectrum } | undefined;

/** (a + i b) -> i k (a + i b) factor. */
function derivative({ re, im }: Planes, k: Float64Array, factor: (at: number) => number): Planes {
  return {
    re: re.map((_, at) => -im[at]! * k[at]! * factor(at)),
    im: im.map((_, at) => re[at]! * k[at]! * factor(at)),
  };
}

/** a + factor(at) b. */
function plus(a: Planes, b: Planes, factor: (at: number) => number): Planes {
  return {
    re: a.re.map((value, at) => value + factor(at) * b.re[at]!),
    im: a.im.map((value, at) => value + factor(at) * b.im[at]!),
  };
}

function scaled({ re, im }: Planes, factor: (at: number) => number): Planes {
  return { re: re.map((v, at) => v * factor(at)), im: im.map((v, at) => v * factor(at)) };
}

/** One step of du/dt = -viscosity |k|^2 u + transport(u). */
function step(
  { kx, ky }: Spectrum,
  u: Planes,
  { viscosity, dt }: { viscosity: number; dt: number },
  transport: (u: Planes) => Planes,
): Planes {
  const half = kx.map((k, at) => Math.exp((-viscosity * (k * k + ky[at]! * ky[at]!) * dt) / 2));
  const e = (at: number) => half[at]!;
  const k1 = transport(u);
  const k2 = transport(
    scaled(
      plus(u, k1, () => dt / 2),
      e,
    ),
  );
  const k3 = transport(plus(scaled(u, e), k2, () => dt / 2));
  const middle = plus(k2, k3, () => 1);
  const k4 = transport(
    plus(
      scaled(u, (at) => e(at) ** 2),
      k3,
      (at) => dt * e(at),
    ),
  );
  const first = scaled(
    plus(u, k1, () => dt / 6),
    (at) => e(at) ** 2,
  );
  return plus(
    plus(first, middle, (at) => (dt / 3) * e(at)),
    k4,
    () => dt / 6,
  );
}

/** u_t + u u_x = viscosity u_xx on a periodic line. */
export function solveBurgers(
  initial: Float64Array,
  options: { length: number; viscosity: number; time: number; steps: number },
): Float64Array {
  const { length, viscosity, time, steps } = options;
  const spectrum = createSpectrum({ rows: 1, cols: initial.length, lengths: [1, length] });
  const transport = (u: Planes): Planes => {
    const squares = spectrum.back(u).map((value) => value * value);
    return derivative(spectrum.forward(squares), spectrum.kx, (at) => -0.5 * spectrum.held[at]!);
  };
  let u = spectrum.forward(initial);
  for (let n = 0; n < steps; n++) u = step(spectrum, u, { viscosity, dt: time / steps }, transport);
  return spectrum.back(u);
}

/** Velocities of an incompressible flow, (u along x, v along y). */
export interface Flow {
  readonly u: Float64Array;
  readonly v: Float64Array;
}

/** The vorticity equation on a periodic box, in a frame that `drift` blows through along x. */
export function solveVortices(
  initial: Flow,
  box: Box,
  options: { viscosity: number; drift: number; time: number; steps: number },
): Flow {
  const { viscosity, drift, time, steps } = options;
  const spectrum = createSpectrum(box);
  const { kx, ky, held } = spectrum;
  const one = () => 1;
  const square = (at: number) => kx[at]! ** 2 + ky[at]! ** 2;
  const inverse = (at: number) => (square(at) > 0 ? 1 / square(at) : 0);
  const flowOf = (vorticity: Planes): Flow => {
    const stream = scaled(vorticity, inverse);
    return {
      u: spectrum.back(derivative(stream, ky, one)),
      v: spectrum.back(derivative(stream, kx, () => -1)),
    };
  };
  const transport = (vorticity: Planes): Planes => {
    const { u, v } = flowOf(vorticity);
    const across = spectrum.back(derivative(vorticity, kx, one));
    const along = spectrum.back(derivative(vorticity, ky, one));
    const product = u.map((value, at) => -(value + drift) * across[at]! - v[at]! * along[at]!);
    return scaled(spectrum.forward(product), (at) => held[at]!);
  };
  const rise = derivative(spectrum.forward(initial.v), kx, one);
  let vorticity = plus(rise, derivative(spectrum.forward(initial.u), ky, one), () => -1);
  for (let n = 0; n < steps; n++)
    vorticity = step(spectrum, vorticity, { viscosity, dt: time / steps }, transport);
  return flowOf(vorticity);
}

/** The grid of a periodic box carried by (down, right) cells, which need not be whole. */
export function carried(
  values: Float64Array,
  box: Box,
  [down, right]: readonly [number, number],
): Float64Array {
  const { rows, cols } = box;
  if (last?.rows !== rows || last.cols !== cols)
    last = { rows, cols, spectrum: createSpectrum({ rows, cols, lengths: [rows, cols] }) };
  const { spectrum } = last;
  const { re, im } = spectrum.forward(values);
  const out = { re: re.slice(), im: im.slice() };
  for (let at = 0; at < spectrum.size; at++) {
    const angle = -(spectrum.ky[at]! * down + spectrum.kx[at]! * right);
    out.re[at] = re[at]! * Math.cos(angle) - im[at]! * Math.sin(angle);
    out.im[at] = re[at]! * Math.sin(angle) + im[at]! * Math.cos(angle);
  }
  return spectrum.back(out);
}
