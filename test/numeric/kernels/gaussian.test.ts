/** Steps of modes, whitening and learning of covariances: the bits of plain loops, closed forms, symmetries, SciPy. */
import { describe, expect, test } from '@jest/globals';
import { inverseSymmetricRoot } from '../../../src/numeric/eigen.ts';
import { createArena } from '../../../src/numeric/kernels/arena.ts';
import { flowModes, learnCovariances, stepModes, whiten } from '../../../src/numeric/kernels/gaussian.ts';
import { expectNear, expectSameBits, normalsOf, placed } from '../support/arrays.ts';

describe('the steps of modes', () => {
  /** A Gaussian and three noisy maps, in an arena of their own. */
  function field(count: number) {
    const arena = createArena(1);
    let seed = 0;
    const plane = () => placed(arena, normalsOf(count, ++seed));
    const modes = () => ({ re: plane(), im: plane() });
    const power = plane();
    for (let k = 0; k < count; k++) power[k] = power[k]! ** 2;
    return { arena, gaussian: { mean: modes(), power }, x: modes(), w: modes(), at: modes(), out: modes() };
  }
  const parts = ['re', 'im'] as const;

  test.each([2, 4, 34])('have the bits of the plain loop, %d modes', (count) => {
    const { arena, gaussian, x, w, at, out } = field(count);
    const { mean, power } = gaussian;
    const [level, a, b, c] = [0.3, 0.7, -0.4, 1.3];
    const signal = Math.sqrt(level);
    const expected = parts.map((part) =>
      Array.from(power, (s, k) => {
        const gain = (signal * s) / (level * s + (1 - level));
        const x0 = mean[part][k]! + gain * (at[part][k]! - signal * mean[part][k]!);
        const plain = a * x[part][k]! + b * x0;
        return { x0, plain, full: plain + c * w[part][k]! };
      }),
    );
    const found = (pick: 'x0' | 'plain' | 'full') =>
      expected.map((of) => Float64Array.from(of, (one) => one[pick])) as [Float64Array, Float64Array];
    stepModes(arena, gaussian, { level, at, a, x, b, c }, out);
    for (const [i, part] of parts.entries()) expectSameBits(out[part], found('plain')[i]!);
    // What is kept may take the place of what is added, and the result that of its start.
    stepModes(arena, gaussian, { level, at, a, x, b, c, w, kept: w }, x);
    for (const [i, part] of parts.entries()) expectSameBits(x[part], found('full')[i]!);
    for (const [i, part] of parts.entries()) expectSameBits(w[part], found('x0')[i]!);
  });

  test('flow from level to level as deviations do, and by way of a third as at once', () => {
    const count = 32;
    const { arena, gaussian, x } = field(count);
    const { mean, power } = gaussian;
    const start = x.re.slice();
    const deviation = (level: number, k: number) => Math.sqrt(level * power[k]! + (1 - level));
    flowModes(arena, gaussian, x, 0.2, 0.6);
    flowModes(arena, gaussian, x, 0.6, 1);
    for (let k = 0; k < count; k++) {
      const off = (start[k]! - Math.sqrt(0.2) * mean.re[k]!) / deviation(0.2, k);
      expect(x.re[k]).toBeCloseTo(mean.re[k]! + off * deviation(1, k), 10);
    }
  });

  test('take planes of their arena and an even number of modes', () => {
    const { arena, gaussian, x, at, out } = field(4);
    const step = { level: 0.5, at, a: 1, x, b: 1, c: 0 };
    const foreign = { re: new Float64Array(4), im: new Float64Array(4) };
    expect(() => stepModes(arena, gaussian, { ...step, x: foreign }, out)).toThrow(RangeError);
    const odd = { ...gaussian, power: gaussian.power.subarray(0, 3) };
    expect(() => stepModes(arena, odd, step, out)).toThrow(RangeError);
    expect(() => flowModes(arena, odd, x, 0.5, 1)).toThrow(RangeError);
  });
});

describe('batched whitening', () => {
  test.each([1, 2, 3, 7, 38, 64])('has the bits of the plain loop, %d metrics', (size) => {
    const nodes = 5;
    const arena = createArena(2);
    const roots = arena.float64(nodes * size * size);
    const half = normalsOf(nodes * size * size, 1);
    for (let node = 0; node < nodes; node++) {
      for (let i = 0; i < size; i++) {
        for (let k = 0; k <= i; k++) {
          const base = node * size * size;
          roots[base + i * size + k] = half[base + i * size + k]!;
          roots[base + k * size + i] = half[base + i * size + k]!;
        }
      }
    }
    const z = placed(arena, normalsOf(nodes * size, 2));
    const u = arena.float64(nodes * size);
    const energies = arena.float64(nodes);
    whiten(arena, { nodes, size, roots, z }, u, energies);
    const plain = Float64Array.from(z, (_, at) => {
      const [node, i] = [Math.floor(at / size), at % size];
      let sum = 0;
      for (let k = 0; k < size; k++) sum += roots[node * size * size + i * size + k]! * z[node * size + k]!;
      return sum;
    });
    expectSameBits(u, plain);
    for (let node = 0; node < nodes; node++) {
      let energy = 0;
      for (const value of plain.subarray(node * size, (node + 1) * size)) energy += 0.5 * value * value;
      expect(energies[node]).toBe(energy);
    }
    const shared = arena.float64(nodes * size);
    whiten(arena, { nodes, size, roots: roots.subarray(0, size * size), z }, shared, energies);
    expectSameBits(shared.subarray(0, size), plain.subarray(0, size));
  });

  test('by the inverse root has the energy of the inverse: 2 E = z P^-1 z', () => {
    // numpy.linalg.inv(scipy.linalg.sqrtm([[2, .5], [.5, 1]]))
    const arena = createArena(1);
    const matrix = Float64Array.of(2, 0.5, 0.5, 1);
    const root = arena.float64(4);
    inverseSymmetricRoot(matrix, 2, 1e-3, new Float64Array(6), root);
    expectNear(
      root,
      [0.7390027697156969, -0.15907066914142506, -0.15907066914142506, 1.0571441079985464],
      14,
    );
    const z = placed(arena, [3, -1, 0.5, 2]);
    const energies = arena.float64(2);
    whiten(arena, { nodes: 2, size: 2, roots: root, z }, arena.float64(4), energies);
    // P^-1 = [[1, -.5], [-.5, 2]] / 1.75.
    const inverse = (a: number, b: number) => (a * a - a * b + 2 * b * b) / 1.75;
    expect(energies[0]).toBeCloseTo(inverse(3, -1) / 2, 14);
    expect(energies[1]).toBeCloseTo(inverse(0.5, 2) / 2, 14);
  });
});

describe('learning of covariances', () => {
  test.each([1, 2, 5, 16, 37])('has the bits of the plain loop, %d metrics', (size) => {
    const nodes = 3;
    const arena = createArena(2);
    const packed = (size * (size + 1)) / 2;
    const covariances = placed(arena, normalsOf(nodes * packed, 4));
    const before = covariances.slice();
    const keep = placed(arena, [0.9, 1, 0.25]);
    const step = placed(arena, [0.1, 0.3, 0.75]);
    const deltas = placed(arena, normalsOf(nodes * size, 5));
    learnCovariances(arena, { nodes, size, keep, step, deltas }, covariances);
    let at = 0;
    for (let node = 0; node < nodes; node++) {
      for (let i = 0; i < size; i++) {
        const scaled = step[node]! * deltas[node * size + i]!;
        for (let j = 0; j <= i; j++, at++) {
          before[at] = keep[node]! * before[at]! + scaled * deltas[node * size + j]!;
        }
      }
    }
    expectSameBits(covariances, before);
  });

  test('forgets exponentially: of equal deviations it converges to their square', () => {
    const arena = createArena(1);
    const covariances = arena.float64(3);
    const update = {
      nodes: 1,
      size: 2,
      keep: placed(arena, [0.8]),
      step: placed(arena, [0.2]),
      deltas: placed(arena, [3, -2]),
    };
    for (let k = 1; k <= 40; k++) {
      learnCovariances(arena, update, covariances);
      const share = 1 - 0.8 ** k;
      expectNear(covariances, [9 * share, -6 * share, 4 * share], 12);
    }
  });

  test('refuses arrays too short for its nodes', () => {
    const arena = createArena(1);
    const one = placed(arena, [1]);
    const update = { nodes: 2, size: 1, keep: one, step: one, deltas: one };
    expect(() => learnCovariances(arena, update, arena.float64(2))).toThrow(RangeError);
  });
});
