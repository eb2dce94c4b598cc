/**
 * What the compiled module exports, by the files of src/numeric/wasm, where each function is described. Arguments that
 * name regions are byte addresses (`Arena.addressOf`). The kernels check nothing, so only the plans and functions of
 * this folder call them.
 */

/** A region's byte address. */
type At = number;

type Twiddles = (at: At, radix: number, m: number) => void;
type Combination = (at: At, n: number) => void;
type Chirp = (plan: At) => void;
type Interleaved = (
  plan: At,
  n: number,
  xRe: At,
  xIm: At,
  yRe: At,
  yIm: At,
  turns: At,
  scale: number,
) => void;
type Single = (plan: At, n: number, xRe: At, xIm: At, yRe: At, yIm: At, scale: number) => void;
type RowsForward = (plan: At, values: At, rows: number, cols: number, re: At, im: At, stride: number) => void;
type RowsBack = (
  plan: At,
  values: At,
  rows: number,
  cols: number,
  re: At,
  im: At,
  stride: number,
  scale: number,
) => void;
type Columns = (plan: At, xRe: At, xIm: At, yRe: At, yIm: At, stride: number) => void;

type Normals = (
  seedLow: number,
  seedHigh: number,
  sample: number,
  step: number,
  count: number,
  out: At,
) => void;
/** Planes of a complex value. */
type Pair = [re: At, im: At];
/** Powers and means of modes. */
type Gaussian = [power: At, meanRe: At, meanIm: At];
/** A share of signal, what it lacks of 1, its root. */
type Level = [level: number, rest: number, signal: number];
/** Arguments that every stencil begins with; boundary 0 PERIODIC, 1 NEUMANN, 2 DIRICHLET. */
type Band = [values: At, rows: number, cols: number, boundary: number, fromRow: number, toRow: number];
/** Arguments of a pass over the Boltzmann ensemble. */
type Ensemble = [energies: At, count: number, least: number, scale: number];

export interface Kernels {
  firstFree(): number;

  readonly twiddles32: Twiddles;
  readonly twiddles64: Twiddles;
  readonly combination32: Combination;
  readonly combination64: Combination;
  readonly chirp32: Chirp;
  readonly chirp64: Chirp;
  readonly interleaved32: Interleaved;
  readonly interleaved64: Interleaved;
  readonly single32: Single;
  readonly single64: Single;
  readonly rowsForward32: RowsForward;
  readonly rowsForward64: RowsForward;
  readonly rowsBack32: RowsBack;
  readonly rowsBack64: RowsBack;
  readonly columns32: Columns;
  readonly columns64: Columns;

  laplacian(...band: [...Band, keep: number, scale: number, out: At, ring: At]): void;
  slopes(
    ...band: [
      ...Band,
      side: number,
      center: number,
      scaleRow: number,
      scaleCol: number,
      outRow: At,
      outCol: At,
      ring: At,
    ]
  ): void;
  slopes4(...band: [...Band, scaleRow: number, scaleCol: number, outRow: At, outCol: At, ring: At]): void;
  stencil25(...band: [...Band, weights: At, bias: number, out: At, ring: At]): void;
  slopeSizes(row: At, col: At, count: number, out: At): void;
  blocks(values: At, mask: At, rows: number, cols: number, out: At, outMask: At): void;

  sum(values: At, count: number): number;
  moments(values: At, count: number, out: At): void;
  squares(values: At, count: number, center: number): number;
  entropies(values: At, count: number, total: number, out: At): void;
  exponentials(values: At, count: number, top: number, scale: number, out: At): number;
  normalize(...ensemble: [...Ensemble, share: number, weights: At]): number;
  spread(...ensemble: [...Ensemble, mean: number, weights: At]): number;
  multiply(values: At, count: number, by: number): void;
  least(values: At, count: number): number;
  histogram(
    values: At,
    count: number,
    lower: number,
    upper: number,
    bins: number,
    counts: At,
    scratch: At,
  ): void;

  readonly normals32: Normals;
  readonly normals64: Normals;
  stepped(
    ...of: [
      count: number,
      ...Gaussian,
      ...Level,
      ...at: Pair,
      a: number,
      ...x: Pair,
      b: number,
      c: number,
      ...w: Pair,
      ...out: Pair,
      ...kept: Pair,
    ]
  ): void;
  flowed(...of: [count: number, ...Gaussian, ...Level, ...next: Level, ...x: Pair]): void;
  whiten(nodes: number, d: number, roots: At, rootStep: number, z: At, u: At, energies: At): void;
  learn(nodes: number, d: number, covariances: At, keep: At, step: At, deltas: At): void;
}
