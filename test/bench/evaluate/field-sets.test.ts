/** The evaluations on fields, on small made-up directories whose right answer is known. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { EvaluationSet, Figure } from '../../../bench/evaluate/figure.ts';
import { verdictOf } from '../../../bench/evaluate/figure.ts';
import { fluxOpenfoam } from '../../../bench/evaluate/flux-openfoam.ts';
import { fleetForecasts } from '../../../bench/evaluate/gentd26-forecast.ts';
import { pde1d } from '../../../bench/evaluate/pde1d.ts';
import { radarFmi } from '../../../bench/evaluate/radar-fmi.ts';
import { wakeCylinder } from '../../../bench/evaluate/wake-cylinder.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'homeostat-fields-'));
  await mkdir(folder, { recursive: true });
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const context = (signal = new AbortController().signal) => ({
  signal,
  progress: { show: () => {}, end: () => {} },
});

async function write(stem: string, shape: readonly number[], values: Float32Array | Int32Array, more = {}) {
  const dtype = values instanceof Int32Array ? 'int32' : 'float32';
  await writeFile(join(folder, `${stem}.bin.gz`), gzipSync(new Uint8Array(values.buffer)));
  await writeFile(join(folder, `${stem}.json`), JSON.stringify({ dtype, shape, ...more }));
}

async function figuresOf({ run }: Pick<EvaluationSet, 'run'>, signal?: AbortSignal): Promise<Figure[]> {
  const figures: Figure[] = [];
  for await (const figure of run(folder, context(signal))) figures.push(figure);
  return figures;
}

const verdicts = (figures: readonly Figure[]) => figures.map(verdictOf);

describe('rain seen by radar', () => {
  const FRAMES = 24;
  const SIDE = 24;

  async function writeRain(shiftError: number) {
    const values = new Float32Array(FRAMES * SIDE * SIDE).map((_, at) => {
      const [frame, row, col] = [Math.floor(at / SIDE ** 2), Math.floor(at / SIDE) % SIDE, at % SIDE];
      return 30 * Math.exp(-((row - 12) ** 2 + (col - 4 - 0.5 * frame) ** 2) / 20) - 5;
    });
    const scores = { persistence_MAE: 9, translation_MAE: shiftError };
    const leads = Object.fromEntries([5, 15, 30, 60].map((minutes) => [`${minutes} min`, scores]));
    await write('20160928_256x256', [FRAMES, SIDE, SIDE], values, { baselines_on_max0dBZ: { leads } });
  }

  test('is forecast, and held to the shift its description lists', async () => {
    await writeRain(3);
    const figures = await figuresOf(radarFmi);
    expect(verdicts(figures)).toEqual(['MET', 'MET', 'MET', 'MET']);
    expect(figures[0]!.baselines).toEqual({ 'rigid shift': 3, persistence: 9 });
    await writeRain(0);
    expect(verdicts(await figuresOf(radarFmi))).toEqual(['MISSED', 'MISSED', 'MISSED', 'MISSED']);
  });

  test('ends when it is interrupted', async () => {
    await writeRain(3);
    await expect(figuresOf(radarFmi, AbortSignal.abort())).rejects.toThrow('interrupted');
  });
});

test('a wake whose oscillation grows is forecast and its transition warned of', async () => {
  const [modes, rows, cols, steps] = [10, 4, 6, 300] as const;
  const shapes = new Float32Array(modes * 2 * rows * cols).map((_, at) => {
    const mode = Math.floor(at / (2 * rows * cols));
    return mode === 0 ? 1 : mode < 3 ? Math.sin((mode + 1) * at) : 0;
  });
  await write('base_and_modes', [modes, 2, rows, cols], shapes);
  const lines = Array.from({ length: steps }, (_, step) => {
    const size = 1e-4 * Math.exp(0.03 * step);
    return [step / 10, size * Math.cos(step / 5), size * Math.sin(step / 5), 0, 0, 0, 0, 0, 0, 0].join(',');
  });
  const text = `t,a1,a2,a3,a4,a5,a6,a7,a8,a9\n${lines.join('\n')}\n`;
  await writeFile(join(folder, 'coefficients_t000_t070.csv.gz'), gzipSync(text));
  const figures = await figuresOf(wakeCylinder);
  expect(figures).toHaveLength(5);
  const [median, worst, , , warned] = figures;
  expect(median!.ours).toBeLessThan(1e-3);
  expect(worst!.ours).toBeGreaterThanOrEqual(median!.ours);
  // Half of the last amplitude is reached ln 2 / 0.03 steps before it.
  expect(warned!.target).toBe(steps - 1 - Math.floor(Math.LN2 / 0.03));
});

describe('conserved quantities', () => {
  const axis = { x: { first: -1, last: 1 } };
  const line = (sizes: readonly number[]) =>
    Float32Array.from({ length: sizes.length * 64 }, (_, at) => {
      const size = sizes[Math.floor(at / 64)]!;
      return size * Math.sin((2 * Math.PI * (at % 64)) / 64);
    });

  test('are told from one that is lost', async () => {
    await write('kdv', [3, 64], line([1, 1, 1]), axis);
    await write('burgers_shock', [3, 64], line([1, 0.9, 0.8]), axis);
    expect(verdicts(await figuresOf(pde1d))).toEqual(['MET', 'MET', 'MET', 'MET']);
  });

  test('that are not, and one that is, are missed', async () => {
    await write('kdv', [3, 64], line([1, 1, 1.1]), axis);
    await write('burgers_shock', [3, 64], line([1, 1.1, 1]), axis);
    expect(verdicts(await figuresOf(pde1d))).toEqual(['MET', 'MISSED', 'MISSED', 'MISSED']);
  });
});

test('a flow around a ring is proved, and refuted with one face altered', async () => {
  // Cell i passes on to cell i + 1 what it took from cell i - 1.
  const cells = 72_000;
  const owner = Int32Array.from({ length: cells }, (_, at) => at);
  await write('owner', [cells], owner);
  await write(
    'neighbour',
    [cells],
    Int32Array.from(owner, (at) => (at + 1) % cells),
  );
  await write('t1088_phi', [cells], new Float32Array(cells).fill(2));
  expect(verdicts(await figuresOf(fluxOpenfoam))).toEqual(['MET', 'MET']);
  await write('t1088_phi', [cells], new Float32Array(cells).fill(2).fill(2.1, 5, 6));
  expect(verdicts(await figuresOf(fluxOpenfoam))).toEqual(['MISSED', 'MET']);
});

test('a fleet is forecast over the containers that are there', async () => {
  const rows = ['t_s,metric,container,value'];
  for (let tick = 0; tick < 80; tick++) {
    for (const name of ['c000', 'c001', 'c002']) {
      if (name === 'c002' && tick < 40) continue;
      rows.push(`${tick * 57},gpu_util_pct,${name},${name === 'c001' ? 70 : 20}`);
      rows.push(`${tick * 57},mem_util,${name},${name === 'c001' ? 0.7 + 0.001 * tick : 0.2}`);
    }
  }
  const path = join(folder, 'events.csv.gz');
  await writeFile(path, gzipSync(`${rows.join('\n')}\n`));
  const figures = await figuresOf({ run: () => fleetForecasts(path, context()) });
  expect(figures.map(({ metric }) => metric.split(':')[0])).toEqual(['gpu_util_pct', 'mem_util']);
  // What never changes is foretold all but exactly, also of one that joins; a ramp is not.
  expect(figures[0]!.ours).toBeLessThan(0.5);
  expect(figures[1]!.ours).toBeGreaterThan(1e-4);
});
