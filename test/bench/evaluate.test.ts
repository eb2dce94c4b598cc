/** The evaluation as a whole, on small made-up directories. */
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { evaluate } from '../../bench/evaluate/evaluation.ts';
import { type EvaluationSet, type Figure, verdictOf } from '../../bench/evaluate/figure.ts';
import { evaluationSets } from '../../bench/evaluate/sets.ts';
import { createFakeClock } from '../support/fake-clock.ts';
import { writeFleet, writeServers } from './evaluate-directory.ts';

let data: string;
beforeEach(async () => {
  data = await mkdtemp(join(tmpdir(), 'homeostat-evaluate-'));
});
afterEach(() => rm(data, { recursive: true, force: true }));

async function run(
  args: readonly string[],
  sets: readonly EvaluationSet[] = evaluationSets,
  signal = new AbortController().signal,
) {
  let out = '';
  let err = '';
  const code = await evaluate(args, sets, {
    clock: createFakeClock(), // It stands still, so that a slow machine does not say how far it is.
    out: { write: (text) => (out += text) },
    err: { write: (text) => (err += text) },
    signal,
  });
  return { code, out, err };
}

const figure = (ours: number, target: number | undefined, better: Figure['better'] = 'HIGHER'): Figure => ({
  metric: 'goodness',
  ours,
  baselines: { simple: 0.25 },
  target,
  better,
});

/** A set of given figures. */
const made = (name: string, ...figures: readonly Figure[]): EvaluationSet => ({
  name,
  measures: 'something',
  async *run() {
    yield* figures;
  },
});

describe('a figure', () => {
  test.each([
    ['HIGHER', 0.5, 'MET'],
    ['HIGHER', 0.499, 'MISSED'],
    ['LOWER', 0.5, 'MET'],
    ['LOWER', 0.501, 'MISSED'],
    ['HIGHER', Number.NaN, 'MISSED'],
    ['LOWER', Number.NaN, 'MISSED'],
  ] as const)('that is better when %s and has the target 0.5 is at %f: %s', (better, ours, verdict) => {
    expect(verdictOf(figure(ours, 0.5, better))).toBe(verdict);
  });

  test('without a target is only reported', () => {
    expect(verdictOf(figure(Number.NaN, undefined))).toBe('REPORTED');
  });
});

describe('a run', () => {
  test('prints metric, baselines, ours, target and verdict of each set, and succeeds when no target is missed', async () => {
    await mkdir(join(data, 'one'));
    const { code, out, err } = await run(
      ['--data', data],
      [made('one', figure(0.75, 0.5), figure(3, undefined))],
    );
    expect({ code, err }).toEqual({ code: 0, err: '' });
    const cells = out.split('\n').map((line) =>
      line
        .split('|')
        .map((cell) => cell.trim())
        .slice(1, -1),
    );
    expect(out.startsWith('## one: something\n')).toBe(true);
    expect(cells).toContainEqual(['metric', 'baselines', 'ours', 'target', 'verdict']);
    expect(cells).toContainEqual(['goodness', 'simple 0.250', '0.750', '>= 0.500', 'met']);
    expect(cells).toContainEqual(['goodness', 'simple 0.250', '3', '', '']);
  });

  test('fails when one figure of one set lies under its target, or a set gives none, and runs the others all the same', async () => {
    for (const name of ['one', 'two', 'three']) await mkdir(join(data, name));
    const good = made('three', figure(1, 0.5));
    const missed = await run(['--data', data], [made('one', figure(1, 0.5), figure(0.4, 0.5)), good]);
    expect(missed.code).toBe(1);
    expect(missed.out).toContain('MISSED');
    expect(missed.out).toContain('## three');
    expect((await run(['--data', data], [made('two'), good])).code).toBe(1);
  });

  test('runs what it was asked for, or all that the directory holds', async () => {
    for (const name of ['one', 'three']) await mkdir(join(data, name));
    const sets = ['one', 'two', 'three'].map((name) => made(name, figure(1, 0.5)));
    const titles = ({ out }: { out: string }) => [...out.matchAll(/## (\w+)/g)].map(([, name]) => name);
    expect(titles(await run(['--data', data], sets))).toEqual(['one', 'three']);
    expect(titles(await run(['three', '--data', data], sets))).toEqual(['three']);
  });

  test('writes all figures with their verdicts as JSON', async () => {
    await mkdir(join(data, 'one'));
    const json = join(data, 'figures.json');
    await run(
      ['one', '--data', data, '--json', json],
      [made('one', figure(0.4, 0.5), figure(Number.NaN, undefined))],
    );
    expect(JSON.parse(await readFile(json, 'utf8'))).toEqual({
      sets: [
        {
          name: 'one',
          measures: 'something',
          met: false,
          figures: [
            { ...figure(0.4, 0.5), verdict: 'MISSED' },
            {
              metric: 'goodness',
              ours: null,
              baselines: { simple: 0.25 },
              better: 'HIGHER',
              verdict: 'REPORTED',
            },
          ],
        },
      ],
    });
  });

  test('refuses what it cannot use with one sentence and exit code 2', async () => {
    await mkdir(join(data, 'one'));
    const sets = [made('one', figure(1, 0.5)), made('two', figure(1, 0.5))];
    const usage = 'usage: npm run evaluate -- [SET...] --data DIR [--json FILE]; sets are one, two';
    const refusals: readonly (readonly [readonly string[], string])[] = [
      [['three', '--data', data], `there is no set "three"; ${usage}`],
      [['one'], `--data is missing; ${usage}`],
      [['--data', join(data, 'none')], `there is no directory ${join(data, 'none')}`],
      [['--data', join(data, 'one')], `${join(data, 'one')} holds none of the sets one, two`],
      [['two', '--data', data], `${join(data, 'two')} is missing`],
      [
        ['one', '--data', data, '--json', join(data, 'none', 'x')],
        `${join(data, 'none', 'x')} cannot be written`,
      ],
    ];
    for (const [args, sentence] of refusals) {
      const { code, out, err } = await run(args, sets);
      expect({ code, out }).toEqual({ code: 2, out: '' });
      expect(err).toContain(`evaluate: ${sentence}`);
    }
    expect((await run(['--speed', '9'], sets)).code).toBe(2);
  });
});

describe('the sets of labelled servers', () => {
  const ours = (out: string, metric: string) =>
    out
      .split('\n')
      .find((line) => line.includes(metric))
      ?.split(/(?<!\\)\|/)
      .map((cell) => cell.trim())[3];

  test('find the incidents of a made-up machine and name their metrics', async () => {
    await writeServers(join(data, 'smd'), 0.5);
    const { code, out } = await run(['smd', '--data', data]);
    expect(ours(out, 'mean average precision')).toBe('1');
    expect(ours(out, 'mean area under ROC')).toBe('1');
    expect(ours(out, 'affected metrics')).toBe('1');
    expect(ours(out, 'incidents hit of 2')).toMatch(/^2 /);
    expect(ours(out, 'beyond float32')).toBe('0');
    expect(out).toContain('pca90 7');
    expect(code).toBe(0);
  });

  test('are held to the baseline that their own directory lists', async () => {
    await writeServers(join(data, 'asd'), 1.5);
    const { code, out } = await run(['asd', '--data', data]);
    expect(code).toBe(1);
    expect(out).toMatch(/mean average precision +\| pca90 1\.500 +\| 1 +\| >= 1\.500 +\| MISSED/);
  });

  test('say which file is missing or does not fit', async () => {
    const folder = join(data, 'smd');
    await writeServers(folder, 0.5);
    await rm(join(folder, 'machine-a_test.bin.gz'));
    const missing = await run(['smd', '--data', data]);
    expect(missing).toEqual({
      code: 2,
      out: '',
      err: `evaluate: ${join(folder, 'machine-a_test.bin.gz')} is missing\n`,
    });
    await writeFile(join(folder, 'baselines.json'), '{"mean_over_machines": {}, "per_machine": {}}');
    expect((await run(['smd', '--data', data])).err).toContain('baselines.json has no detector pca90');
  });

  test('end when they are interrupted', async () => {
    await writeServers(join(data, 'smd'), 0.5);
    const { code, err } = await run(['smd', '--data', data], evaluationSets, AbortSignal.abort());
    expect({ code, err }).toEqual({ code: 1, err: 'evaluate: interrupted\n' });
  });
});

describe('the serving fleet', () => {
  test('goes through a real broker and server without loss', async () => {
    await writeFleet(join(data, 'gentd26'), 80);
    const json = join(data, 'figures.json');
    const { code, err } = await run(['gentd26', '--data', data, '--json', json]);
    expect({ code, err }).toEqual({ code: 0, err: '' });
    const figures: Figure[] = JSON.parse(await readFile(json, 'utf8')).sets[0].figures;
    const found = Object.fromEntries(figures.map(({ metric, ours }) => [metric, ours]));
    expect(found).toMatchObject({
      'samples offered': 400,
      'samples accepted': 400,
      'samples duplicate': 0,
      'samples late': 0,
      'samples rejected': 0,
      'sequence gaps': 0,
      'windows closed': 80,
      maps: 80,
      'nodes mapped': 3,
      'nodes judged': 3,
    });
  });
});
