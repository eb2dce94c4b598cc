/** Updates of modes, whitening and learning of covariances: the bits of plain loops, closed forms, symmetries, SciPy. */
import { describe, expect, test } from '@jest/globals';
import { inverseSymmetricRoot } from '../../../src/numeric/eigen.ts';
import { createArena } from '../../../src/numeric/kernels/arena.ts';
import { learnCovariances, updateModes, whiten } from '../../../src/numeric/kernels/gaussian.ts';
import { expectNear, expectSameBits, normalsOf, placed } from '../support/arrays.ts';

describe('the update of modes', () => {
  test.each([1, 2, 5, 8, 33])('has the bits of the plain loop, %d modes', (count) => {
    for (const isSingle of [false, true]) {
      const arena = createArena(1);
      let seed = 0;
      const plane = () => {
        const values = normalsOf(count, ++seed);
        const copy = isSingle ? arena.float32(count) : arena.float64(count);
        copy.set(values);
        return copy;
      };
      const modes = () => ({ re: plane(), im: plane() });
      const [a, b, c, x, m, z, y] = [plane(), plane(), plane(), modes(), modes(), modes(), modes()];
      const round = isSingle ? Math.fround : (value: number) => value;
      const plain = (part: 're' | 'im') =>
        Float64Array.from(a, (_, k) => {
          const kept = round(a[k]! * x[part][k]!);
          const moved = round(kept + round(b[k]! * m[part][k]!));
          return round(moved + round(c[k]! * z[part][k]!));
        });
      const expected = { re: plain('re'), im: plain('im') };
      updateModes(arena, { a, x, mean: { b, m }, noise: { c, z } }, y);
      expectSameBits(y.re, expected.re);
      expectSameBits(y.im, expected.im);
      updateModes(arena, { a, x }, y);
      expectSameBits(
        y.im,
        Float64Array.from(a, (_, k) => round(a[k]! * x.im[k]!)),
      );
      const drifted = Float64Array.from(a, (_, k) =>
        round(round(a[k]! * x.re[k]!) + round(c[k]! * z.re[k]!)),
      );
      updateModes(arena, { a, x, noise: { c, z } }, x);
      expectSameBits(x.re, drifted);
    }
  });

  test('keeps the law it should: unit variance when a^2 + c^2 = 1', () => {
    const n = 100_000;
    const arena = createArena(16);
    const modes = (seed: number) => ({
      re: placed(arena, normalsOf(n, seed)),
      im: placed(arena, normalsOf(n, seed + 1)),
    });
    const x = modes(1);
    const z = modes(3);
    const a = placed(arena, new Float64Array(n).fill(0.6));
    const c = placed(arena, new Float64Array(n).fill(0.8));
    updateModes(arena, { a, x, noise: { c, z } }, x);
    const variance = [...x.re, ...x.im].reduce((sum, v) => sum + v * v, 0) / (2 * n);
    expect(Math.abs(variance - 1)).toBeLessThan(5 * Math.sqrt(2 / (2 * n)));
  });

  test('refuses planes of two precisions', () => {
    const arena = createArena(1);
    const x = { re: arena.float64(4), im: arena.float64(4) };
    const y: { re: Float32Array | Float64Array; im: Float32Array | Float64Array } = {
      re: arena.float32(4),
      im: arena.float64(4),
    };
    expect(() => updateModes<Float32Array | Float64Array>(arena, { a: arena.float64(4), x }, y)).toThrow(
      RangeError,
    );
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
