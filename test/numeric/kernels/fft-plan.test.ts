/** Fast Fourier transforms of lines and grids: definition, closed forms, conservation, refinement, references. */
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { createArena } from '../../../src/numeric/kernels/arena.ts';
import { createGridFft, createLineFft, type Precision } from '../../../src/numeric/kernels/fft-plan.ts';
import { normalsOf, placed, relativeError } from '../support/arrays.ts';
import { plainFft, plainGridFft } from '../support/plain-fft.ts';

/** Rounding of the whole transform: single precision holds seven digits. */
const TOLERANCE: Readonly<Record<Precision, number>> = { float32: 1e-6, float64: 1e-14 };
const PRECISIONS: readonly Precision[] = ['float32', 'float64'];
/** Every radix and their mixtures, primes and their multiples, lengths that fill no vector. */
const LENGTHS = [
  1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 15, 16, 17, 20, 25, 30, 31, 37, 40, 64, 74, 100, 101, 144,
];
const SHAPES = [
  [1, 1],
  [1, 5],
  [5, 1],
  [2, 3],
  [4, 4],
  [7, 6],
  [16, 12],
  [13, 17],
  [9, 34],
  [32, 32],
] as const;

function lineOf(precision: Precision, size: number, seed = 1) {
  const arena = createArena(2);
  const take = () => (precision === 'float32' ? arena.float32(size) : arena.float64(size));
  const x = { re: take(), im: take() };
  const y = { re: take(), im: take() };
  x.re.set(normalsOf(size, seed));
  x.im.set(normalsOf(size, seed + 1));
  return { plan: createLineFft(arena, precision, size), x, y };
}

/** A plan for a grid, a random grid and room for its spectrum and for another grid. */
function gridOf(precision: Precision, rows: number, cols: number, seed = 1) {
  const arena = createArena(4);
  const plan = createGridFft(arena, precision, rows, cols);
  const take = (length: number) => (precision === 'float32' ? arena.float32(length) : arena.float64(length));
  const values = take(rows * cols);
  values.set(normalsOf(rows * cols, seed));
  return {
    plan,
    values,
    re: take(rows * plan.stride),
    im: take(rows * plan.stride),
    back: take(rows * cols),
  };
}

/** A padded plane without its padding. */
function unpadded(
  plane: ArrayLike<number>,
  { rows, kept, stride }: { rows: number; kept: number; stride: number },
) {
  return Float64Array.from(
    { length: rows * kept },
    (_, at) => plane[Math.floor(at / kept) * stride + (at % kept)]!,
  );
}

describe.each(PRECISIONS)('the transform of a line in %s', (precision) => {
  test.each(LENGTHS)('is that of the definition, length %d', (size) => {
    const { plan, x, y } = lineOf(precision, size);
    plan.forward(x.re, x.im, y.re, y.im);
    const plain = plainFft({ re: Float64Array.from(x.re), im: Float64Array.from(x.im) });
    const found = [...y.re, ...y.im];
    expect(relativeError(found, [...plain.re, ...plain.im])).toBeLessThan(4 * TOLERANCE[precision]);
  });

  test.each(LENGTHS)('comes back, in place, length %d', (size) => {
    const { plan, x } = lineOf(precision, size);
    const before = [...x.re, ...x.im];
    plan.forward(x.re, x.im, x.re, x.im);
    plan.back(x.re, x.im, x.re, x.im);
    expect(relativeError([...x.re, ...x.im], before)).toBeLessThan(4 * TOLERANCE[precision]);
  });

  test('keeps the sum of squares (Parseval)', () => {
    for (const size of [60, 97, 1024]) {
      const { plan, x, y } = lineOf(precision, size);
      plan.forward(x.re, x.im, y.re, y.im);
      const power = (line: typeof x) => [...line.re, ...line.im].reduce((sum, v) => sum + v * v, 0);
      expect(power(y) / size / power(x) - 1).toBeCloseTo(0, precision === 'float32' ? 5 : 12);
    }
  });
});

describe.each(PRECISIONS)('the transform of a grid in %s', (precision) => {
  test.each(SHAPES)('is that of the definition, %d x %d', (rows, cols) => {
    const { plan, values, re, im } = gridOf(precision, rows, cols);
    const before = [...values];
    plan.forward(values, re, im);
    const plain = plainGridFft(Float64Array.from(values), rows, cols);
    const found = [...unpadded(re, plan), ...unpadded(im, plan)];
    expect(relativeError(found, [...plain.re, ...plain.im])).toBeLessThan(4 * TOLERANCE[precision]);
    expect([...values]).toEqual(before);
  });

  test.each(SHAPES)('comes back and leaves the spectrum as it is, %d x %d', (rows, cols) => {
    const { plan, values, re, im, back } = gridOf(precision, rows, cols);
    plan.forward(values, re, im);
    const spectrum = [...re, ...im];
    plan.back(re, im, back);
    expect(relativeError(back, values)).toBeLessThan(4 * TOLERANCE[precision]);
    expect([...re, ...im]).toEqual(spectrum);
  });

  test('of a wave is two spikes, of a constant one', () => {
    const [rows, cols] = [12, 20];
    const { plan, values, re, im } = gridOf(precision, rows, cols);
    for (let at = 0; at < values.length; at++) {
      const [i, j] = [Math.floor(at / cols), at % cols];
      values[at] = 3 + Math.cos(2 * Math.PI * ((2 * i) / rows + (5 * j) / cols));
    }
    plan.forward(values, re, im);
    const expected = new Float64Array(rows * plan.kept);
    expected[0] = 3 * rows * cols;
    expected[2 * plan.kept + 5] = (rows * cols) / 2;
    expect(relativeError(unpadded(re, plan), expected)).toBeLessThan(TOLERANCE[precision]);
    expect(Math.max(...im.map(Math.abs))).toBeLessThan(rows * cols * TOLERANCE[precision]);
  });

  test('writes zeros beyond the columns it keeps', () => {
    const { plan, values, re, im } = gridOf(precision, 6, 8);
    re.fill(9);
    im.fill(9);
    plan.forward(values, re, im);
    for (let i = 0; i < 6; i++) {
      for (let j = plan.kept; j < plan.stride; j++)
        expect([re[i * plan.stride + j], im[i * plan.stride + j]]).toEqual([0, 0]);
    }
  });
});

describe('transforms', () => {
  test('are linear and turn a shift into a phase', () => {
    fc.assert(
      fc.property(fc.integer({ min: 2, max: 48 }), fc.nat(), (size, by) => {
        const { plan, x, y } = lineOf('float64', size);
        const shift = by % size;
        plan.forward(x.re, x.im, y.re, y.im);
        const plain = { re: [...y.re], im: [...y.im] };
        const turned = (part: Float64Array | Float32Array) => [...part.slice(shift), ...part.slice(0, shift)];
        const moved = { re: turned(x.re), im: turned(x.im) };
        x.re.set(moved.re);
        x.im.set(moved.im);
        plan.forward(x.re, x.im, y.re, y.im);
        const found: number[] = [];
        for (let k = 0; k < size; k++) {
          const angle = (-2 * Math.PI * ((k * shift) % size)) / size;
          found.push(y.re[k]! * Math.cos(angle) - y.im[k]! * Math.sin(angle));
          found.push(y.re[k]! * Math.sin(angle) + y.im[k]! * Math.cos(angle));
        }
        const expected = plain.re.flatMap((re, k) => [re, plain.im[k]!]);
        expect(relativeError(found, expected)).toBeLessThan(1e-13);
      }),
      { numRuns: 50 },
    );
  });

  test('give the reference values of numpy.fft.rfft2', () => {
    // numpy.fft.rfft2(numpy.array([[1, 2, 4, 8, 16], [3, 9, 27, 81, 243], [5, 1, 4, 1, 3]], float))
    const { plan, values, re, im } = gridOf('float64', 3, 5);
    values.set([1, 2, 4, 8, 16, 3, 9, 27, 81, 243, 5, 1, 4, 1, 3]);
    plan.forward(values, re, im);
    const reference = {
      re: [
        408, -7.45646783813283, -174.04353216186715, -157.5, 219.10876563713217, 143.38975905500763, -157.5,
        -221.08999190025028, 1.0914672081104584,
      ],
      im: [
        0, 270.0923179498744, 94.63820467688483, -302.2428659207691, -104.0193037793402, 107.24165200159139,
        302.2428659207691, -119.07521745862807, -188.6055542777342,
      ],
    };
    expect(relativeError(unpadded(re, plan), reference.re)).toBeLessThan(1e-14);
    expect(relativeError(unpadded(im, plan), reference.im)).toBeLessThan(1e-14);
  });

  test('solve the heat equation: the first mode decays by exp(-nu k^2 t) and the total stays', () => {
    // nu = 0.01, k = 2 pi, t = 1.
    const n = 32;
    const { plan, values, re, im, back } = gridOf('float64', n, n);
    for (let at = 0; at < n * n; at++) values[at] = 1 + Math.sin((2 * Math.PI * Math.floor(at / n)) / n);
    plan.forward(values, re, im);
    for (let i = 0; i < n; i++) {
      for (let j = 0; j < plan.kept; j++) {
        const [ky, kx] = [i <= n / 2 ? i : i - n, j].map((k) => 2 * Math.PI * k) as [number, number];
        const decay = Math.exp(-0.01 * (kx * kx + ky * ky));
        re[i * plan.stride + j] = re[i * plan.stride + j]! * decay;
        im[i * plan.stride + j] = im[i * plan.stride + j]! * decay;
      }
    }
    plan.back(re, im, back);
    expect(Math.max(...back) - 1).toBeCloseTo(0.673825451, 9);
    expect([...back].reduce((sum, v) => sum + v, 0)).toBeCloseTo(n * n, 9);
  });

  test('give the sums of a Gaussian free field', () => {
    // S = 1 / (4 - 2 cos kx - 2 cos ky + 1/2) on 32^2: the field whose spectrum is sqrt(S) has them exactly.
    const n = 32;
    const { plan, values, re, im, back } = gridOf('float64', n, n);
    values.fill(0);
    values[0] = n;
    plan.forward(values, re, im);
    let variance = 0;
    let logPartition = 0;
    for (let i = 0; i < n; i++) {
      for (let j = 0; j < plan.kept; j++) {
        const laplacian = 4 - 2 * Math.cos((2 * Math.PI * i) / n) - 2 * Math.cos((2 * Math.PI * j) / n);
        const spectrum = 1 / (laplacian + 0.5);
        const count = j === 0 || 2 * j === n ? 1 : 2;
        variance += count * spectrum;
        logPartition += (count * Math.log(2 * Math.PI * spectrum)) / 2;
        re[i * plan.stride + j] = re[i * plan.stride + j]! * Math.sqrt(spectrum);
        im[i * plan.stride + j] = im[i * plan.stride + j]! * Math.sqrt(spectrum);
      }
    }
    expect(variance / n ** 2).toBeCloseTo(0.316235097, 9);
    expect(logPartition / n ** 2).toBeCloseTo(0.235364145, 9);
    plan.back(re, im, back);
    const at = (i: number, j: number) => back[((i + n) % n) * n + ((j + n) % n)]!;
    let squares = 0;
    let slopes = 0;
    for (let i = 0; i < n; i++) {
      for (let j = 0; j < n; j++) {
        squares += at(i, j) ** 2;
        slopes += (at(i + 1, j) - at(i, j)) ** 2 + (at(i, j + 1) - at(i, j)) ** 2;
      }
    }
    expect(squares / n ** 2).toBeCloseTo(0.316235097, 9);
    expect(slopes / n ** 2 / 2).toBeCloseTo(0.420941226, 9);
    // The action, half of phi (-laplacian + 1/2) phi.
    expect((slopes / 2 + squares / 4) / n ** 2).toBeCloseTo(0.5, 12);
  });

  test('differentiate a smooth periodic function with an error that falls faster than any power', () => {
    const error = (n: number) => {
      const { plan, x } = lineOf('float64', n);
      const angle = (j: number) => (2 * Math.PI * j) / n;
      for (let j = 0; j < n; j++) x.re[j] = Math.exp(Math.sin(angle(j)));
      x.im.fill(0);
      plan.forward(x.re, x.im, x.re, x.im);
      for (let k = 0; k < n; k++) {
        const wave = 2 * k === n ? 0 : k < n / 2 ? k : k - n;
        const re = x.re[k]!;
        x.re[k] = -wave * x.im[k]!;
        x.im[k] = wave * re;
      }
      plan.back(x.re, x.im, x.re, x.im);
      return Math.max(
        ...Array.from(x.re, (v, j) => Math.abs(v - Math.cos(angle(j)) * Math.exp(Math.sin(angle(j))))),
      );
    };
    expect(error(8) / error(16)).toBeGreaterThan(1000);
    expect(error(32)).toBeLessThan(1e-13);
  });

  test('refuse a size that is none and arrays of another arena', () => {
    const arena = createArena(1);
    expect(() => createLineFft(arena, 'float64', 0)).toThrow(RangeError);
    expect(() => createGridFft(arena, 'float64', 2.5, 4)).toThrow(RangeError);
    const plan = createLineFft(arena, 'float64', 4);
    const inside = placed(arena, [1, 2, 3, 4]);
    expect(() => plan.forward(inside, inside, inside, new Float64Array(4))).toThrow(RangeError);
    expect(() => plan.forward(inside, inside, inside, placed(arena, [1]))).toThrow(RangeError);
  });
});
