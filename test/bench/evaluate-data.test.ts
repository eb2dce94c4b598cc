import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { DataError } from '../../bench/evaluate/data-error.ts';
import { loadArray, loadCsv, loadJson, numbersOf } from '../../bench/evaluate/data-set.ts';
import { loadMachine } from '../../bench/evaluate/labeled-machine.ts';
import { labels, METRICS, TEST_STEPS, writeArray, writeJson, writeServers } from './evaluate-directory.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'homeostat-evaluate-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** The message of the DataError that `load` throws. */
function faultOf(load: () => unknown): string {
  try {
    load();
  } catch (error) {
    if (error instanceof DataError) return error.message;
    throw error;
  }
  throw new Error('nothing was thrown');
}

describe('an array', () => {
  test('is read as its sidecar says, in each type', async () => {
    const stem = join(folder, 'a');
    await writeArray(stem, [2, 3], Float32Array.of(1, 2, 3, 4, 5, 6.5));
    expect(loadArray(stem, 2)).toMatchObject({
      shape: [2, 3],
      values: Float32Array.of(1, 2, 3, 4, 5, 6.5),
      sidecar: { sampling: '1 min' },
    });
    await writeJson(`${stem}.json`, { shape: [2], dtype: 'int32' });
    await writeFile(`${stem}.bin.gz`, gzipSync(new Uint8Array(Int32Array.of(7, -1).buffer)));
    expect(loadArray(stem, 1).values).toEqual(Int32Array.of(7, -1));
    await writeJson(`${stem}.json`, { shape: [8], dtype: 'uint8' });
    expect(loadArray(stem, 1).values).toEqual(Uint8Array.of(7, 0, 0, 0, 255, 255, 255, 255));
  });

  test('that is missing, cut short or not described is refused by the name of its file', async () => {
    const stem = join(folder, 'a');
    expect(faultOf(() => loadArray(stem, 2))).toBe(`${stem}.json is missing`);
    await writeJson(`${stem}.json`, { shape: [2, 3] });
    expect(faultOf(() => loadArray(stem, 2))).toBe(`${stem}.bin.gz is missing`);
    await writeFile(`${stem}.bin.gz`, gzipSync(Buffer.alloc(20)));
    expect(faultOf(() => loadArray(stem, 2))).toBe(
      `${stem}.bin.gz holds 20 bytes, but float32 of shape 2 x 3 is 24`,
    );
    await writeFile(`${stem}.bin.gz`, 'no gzip');
    expect(faultOf(() => loadArray(stem, 2))).toContain(`${stem}.bin.gz cannot be unpacked`);
    expect(faultOf(() => loadArray(stem, 3))).toContain('must have a shape of 3 whole numbers above 0');
    await writeJson(`${stem}.json`, { shape: [2, -3] });
    expect(faultOf(() => loadArray(stem, 2))).toContain('must have a shape of 2');
    await writeJson(`${stem}.json`, { shape: [2, 3], dtype: 'toString' });
    expect(faultOf(() => loadArray(stem, 2))).toContain('unknown dtype toString');
    await writeFile(`${stem}.json`, '{');
    expect(faultOf(() => loadArray(stem, 2))).toContain(`${stem}.json is not JSON`);
    await writeFile(`${stem}.json`, '[]');
    expect(faultOf(() => loadJson(`${stem}.json`))).toBe(`${stem}.json must hold a JSON object`);
  });
});

describe('a table', () => {
  test('gives columns as numbers, empty fields as missing', async () => {
    const path = join(folder, 't.csv.gz');
    await writeFile(path, gzipSync('t_s,value,name\n0,1.5,"a, b"\n57,,c\n'));
    const table = loadCsv(path, ['t_s', 'value']);
    expect(table.rows.map((row) => row[2])).toEqual(['a, b', 'c']);
    expect(numbersOf(table, 't_s', path)).toEqual(Float64Array.of(0, 57));
    expect(numbersOf(table, 'value', path)).toEqual(Float64Array.of(1.5, Number.NaN));
    expect(faultOf(() => numbersOf(table, 'name', path))).toBe(
      `${path} row 1 has "a, b" as name, which is no number`,
    );
  });

  test('without a column, with a row of another length or empty is refused', async () => {
    const path = join(folder, 't.csv.gz');
    await writeFile(path, gzipSync('a,b\n1,2\n'));
    expect(faultOf(() => loadCsv(path, ['a', 'c']))).toBe(`${path} has no column c; it has a, b`);
    await writeFile(path, gzipSync('a,b\n1,2,3\n'));
    expect(faultOf(() => loadCsv(path, ['a']))).toContain(`${path} is not CSV`);
    await writeFile(path, gzipSync(''));
    expect(faultOf(() => loadCsv(path, ['a']))).toContain('it has none');
  });
});

describe('a labelled machine', () => {
  const load = () => loadMachine(folder, 'machine-a');
  const relabel = (changes: object) => writeJson(join(folder, 'machine-a_labels.json'), labels(changes));
  beforeEach(() => writeServers(folder, 0.5));

  test('has its incidents as spans of steps with the metrics affected', () => {
    const machine = load();
    expect(machine).toMatchObject({ metricCount: METRICS, stepMs: 60_000 });
    expect(machine.test.shape).toEqual([METRICS, TEST_STEPS]);
    expect(machine.incidents).toEqual([
      { from: 20, to: 30, metrics: [0, 1] },
      { from: 100, to: 101, metrics: [2] },
    ]);
  });

  test('ends an incident with its segment, whatever end the publisher wrote', async () => {
    const [first, second] = labels().interpretation;
    await relabel({ interpretation: [second, { ...first, end: first!.end - 1 }] });
    expect(load().incidents.map(({ from, to }) => [from, to])).toEqual([
      [20, 30],
      [100, 101],
    ]);
  });

  test.each([
    ['is about 10 steps, the test part has 200', { test_length: 10 }],
    ['labels 11 steps, not the 12 it says', { anomalous_steps: 12 }],
    ['has the segment [100,200], out of order or out of range', { segments_inclusive_0based: [[100, 200]] }],
    [
      'has the segment [20,29], out of order',
      {
        segments_inclusive_0based: [
          [100, 100],
          [20, 29],
        ],
      },
    ],
    ['has the segment 20, out of order', { segments_inclusive_0based: [20] }],
    [
      'has no incident for the segment that begins at 100',
      { interpretation: labels().interpretation.slice(0, 1) },
    ],
    [
      'has an incident at 20 where no labelled segment begins, or two do',
      { interpretation: [...labels().interpretation, ...labels().interpretation] },
    ],
    [
      'must name the affected metrics of each incident, from 1 to 3',
      { interpretation: [{ start: 20, end: 30, metrics_1based: [4] }] },
    ],
    ['must have a list "interpretation"', { interpretation: undefined }],
  ])('whose labels do not fit is refused: %s', async (fault, changes) => {
    await relabel(changes);
    expect(faultOf(load)).toContain(`machine-a_labels.json ${fault}`);
  });

  test('whose parts differ in metrics or sampling is refused', async () => {
    await writeArray(join(folder, 'machine-a_train'), [2, 3], new Float32Array(6));
    expect(faultOf(load)).toContain('machine-a_test.json has 3 metrics, the training part 2');
    await writeArray(join(folder, 'machine-a_train'), [3, 2], new Float32Array(6));
    await writeJson(join(folder, 'machine-a_train.json'), { shape: [3, 2], sampling: '5 min' });
    expect(faultOf(load)).toContain('machine-a_test.json has another sampling than the training part');
    await writeJson(join(folder, 'machine-a_train.json'), { shape: [3, 2], sampling: 'often' });
    expect(faultOf(load)).toContain('machine-a_train.json must name its sampling');
  });
});
