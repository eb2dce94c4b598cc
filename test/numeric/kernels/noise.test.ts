/** White noise: the same bits as plain TypeScript, from any part, on any thread, and the law it should have. */
import { afterAll, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { createArena } from '../../../src/numeric/kernels/arena.ts';
import { createNoise } from '../../../src/numeric/kernels/noise.ts';
import { normalCdf } from '../../../src/numeric/quantile.ts';
import { createWorkerPool } from '../../../src/numeric/worker-pool.ts';
import { expectSameBits } from '../support/arrays.ts';
import { plainLog, plainNormals, plainTurn } from '../support/plain-noise.ts';

const tasks = new URL('../support/tasks.ts', import.meta.url);
const pool = createWorkerPool({ threads: 2, queueMax: 8 });
afterAll(() => pool.close());

function noiseOf(seed: bigint, sample: number, step: number, count: number): Float64Array {
  const arena = createArena(2);
  const out = arena.float64(count);
  createNoise(arena, seed).fill(out, sample, step);
  return out;
}

describe('noise', () => {
  test('has the bits of plain TypeScript', () => {
    const word = fc.integer({ min: 0, max: 0xffffffff });
    fc.assert(
      fc.property(fc.bigInt(0n, 2n ** 64n - 1n), word, word, fc.nat(70), (seed, sample, step, count) => {
        expectSameBits(noiseOf(seed, sample, step, count), plainNormals(seed, sample, step, count));
      }),
    );
    expectSameBits(noiseOf(42n, 3, 17, 20_001), plainNormals(42n, 3, 17, 20_001));
  });

  test('is pinned', () => {
    expect([...noiseOf(42n, 0, 1, 4)]).toEqual([
      -1.0804676279902778, -1.1981540902306624, -2.2904938244164397, 1.911746102016637,
    ]);
  });

  test('does not depend on how much of it is drawn, but on seed, sample and step', () => {
    const whole = noiseOf(7n, 1, 2, 1000);
    expect([...noiseOf(7n, 1, 2, 37)]).toEqual([...whole.slice(0, 37)]);
    const others = [
      noiseOf(8n, 1, 2, 4),
      noiseOf(7n, 2, 2, 4),
      noiseOf(7n, 1, 3, 4),
      noiseOf(7n + (1n << 40n), 1, 2, 4),
    ];
    for (const other of others) expect([...other]).not.toEqual([...whole.slice(0, 4)]);
  });

  test('in single precision is the same, rounded', () => {
    const arena = createArena(1);
    const out = arena.float32(1001);
    createNoise(arena, 5n).fill(out, 0, 0);
    expectSameBits(out, Float32Array.from(noiseOf(5n, 0, 0, 1001)));
  });

  test('is the same on worker threads', async () => {
    const draw = (sample: number) =>
      pool.run<Float64Array>(tasks, 'noise', { seed: 9n, sample, step: 4, count: 999 });
    const found = await Promise.all([0, 1, 2, 3].map(draw));
    for (const [sample, values] of found.entries()) expectSameBits(values, noiseOf(9n, sample, 4, 999));
  });

  test('is standard normal and white, within five standard errors', () => {
    const n = 200_000;
    const values = noiseOf(1n, 0, 0, n);
    const mean = (of: (v: number, i: number) => number) =>
      values.reduce((sum, v, i) => sum + of(v, i), 0) / n;
    expect(Math.abs(mean((v) => v))).toBeLessThan(5 / Math.sqrt(n));
    expect(Math.abs(mean((v) => v * v) - 1)).toBeLessThan(5 * Math.sqrt(2 / n));
    expect(Math.abs(mean((v) => v ** 3))).toBeLessThan(5 * Math.sqrt(15 / n));
    expect(Math.abs(mean((v) => v ** 4) - 3)).toBeLessThan(5 * Math.sqrt(96 / n));
    // Neighbors, among them the two of a block.
    expect(Math.abs(mean((v, i) => v * values[(i + 1) % n]!))).toBeLessThan(5 / Math.sqrt(n));
    expect(Math.abs(mean((v, i) => v * v * values[(i + 1) % n]! ** 2) - 1)).toBeLessThan(
      5 * Math.sqrt(8 / n),
    );
    // Kolmogorov-Smirnov: exceeds 1.95 / sqrt n with probability 0.001.
    const sorted = [...values].sort((a, b) => a - b);
    const distance = Math.max(
      ...[0.1, 0.25, 0.5, 0.75, 0.9].map((q) => Math.abs(normalCdf(sorted[q * n]!) - q)),
    );
    expect(distance).toBeLessThan(1.95 / Math.sqrt(n));
  });
});

describe('the elementary functions of noise', () => {
  test('are those of the library to two units in the last place', () => {
    fc.assert(
      fc.property(fc.double({ min: 2 ** -53, max: 1, noNaN: true }), (u) => {
        expect(Math.abs(plainLog(u) - Math.log(u))).toBeLessThanOrEqual(3e-16 * Math.abs(Math.log(u)));
        const { cos, sin } = plainTurn(u);
        expect(Math.abs(cos - Math.cos(2 * Math.PI * u))).toBeLessThan(1e-15);
        expect(Math.abs(sin - Math.sin(2 * Math.PI * u))).toBeLessThan(1e-15);
      }),
    );
    for (const eighth of [0, 1, 2, 3, 4, 5, 6, 7, 8]) {
      const { cos, sin } = plainTurn(eighth / 8);
      expect(cos).toBeCloseTo(Math.cos((Math.PI * eighth) / 4), 15);
      expect(sin).toBeCloseTo(Math.sin((Math.PI * eighth) / 4), 15);
    }
  });
});
