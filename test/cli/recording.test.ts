import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { openCsv } from '../../src/cli/csv.ts';
import { CliFailure } from '../../src/cli/failure.ts';
import {
  openRecording,
  type RecordingColumns,
  type RecordingCounts,
  type RecordingOptions,
} from '../../src/cli/recording.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'homeostat-recording-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

type Reading = [iso: string, node: string, metric: string, value: number];

/** Reads a file given as text; every value with its time, node and metric. */
async function read(
  content: string | Uint8Array,
  columns: RecordingColumns = {},
  options: Partial<RecordingOptions> = {},
): Promise<{ readings: Reading[]; counts: RecordingCounts; instants: number }> {
  const path = join(folder, 'recording.csv');
  await writeFile(path, content);
  const file = await openCsv(path);
  const recording = openRecording(file, { columns, node: '_', startMs: 0, ...options });
  const readings: Reading[] = [];
  let instants = 0;
  for await (const { timeMs, nodes } of recording.instants()) {
    instants++;
    for (const [node, { metrics, values }] of nodes) {
      metrics.forEach((metric, i) => {
        readings.push([new Date(timeMs).toISOString(), node, recording.metrics[metric]!, values[i]!]);
      });
    }
  }
  return { readings, counts: recording.counts, instants };
}

const failure = (promise: Promise<unknown>) =>
  promise.then(
    () => {
      throw new Error('it did not fail');
    },
    (error: unknown) => {
      expect(error).toBeInstanceOf(CliFailure);
      return error as CliFailure;
    },
  );

const LONG = { time: 't', node: 'who', metric: 'what', value: 'v' };

describe('the wide form', () => {
  test('gives one value per metric column, zoneless times being UTC', async () => {
    const { readings, counts } = await read(
      'timestamp,cpu,mem\n2026-01-01 00:00:00,0.5,2\n2026-01-01T00:00:10+01:00,1e-3,-3\n',
    );
    expect(readings).toEqual([
      ['2026-01-01T00:00:00.000Z', '_', 'cpu', 0.5],
      ['2026-01-01T00:00:00.000Z', '_', 'mem', 2],
      ['2025-12-31T23:00:10.000Z', '_', 'cpu', 0.001],
      ['2025-12-31T23:00:10.000Z', '_', 'mem', -3],
    ]);
    expect(counts).toMatchObject({ rows: 2, samples: 4, stepsBack: 1, gaps: 0, emptyValues: 0 });
  });

  test('reads gzip by its first bytes, whatever the name, with byte order mark and CRLF', async () => {
    const { readings } = await read(gzipSync('\ufeffvalue,time\r\n7,1970-01-02\r\n'));
    expect(readings).toEqual([['1970-01-02T00:00:00.000Z', '_', 'value', 7]]);
  });

  test('numbers are seconds after the start, fractions included', async () => {
    const startMs = Date.UTC(2026, 0, 1);
    const { readings } = await read('t_s,v\n0,1\n57.25,2\n', {}, { startMs });
    expect(readings.map(([iso]) => iso)).toEqual(['2026-01-01T00:00:00.000Z', '2026-01-01T00:00:57.250Z']);
  });

  test('takes the node of a row where a column names one, else the given node', async () => {
    const { readings } = await read('t,host,v\n0,a,1\n0,,2\n', { node: 'host' }, { node: 'rest' });
    expect(readings.map(([, node, , value]) => [node, value])).toEqual([
      ['a', 1],
      ['rest', 2],
    ]);
  });

  test('counts each row that repeats a timestamp once and keeps its values', async () => {
    const { readings, counts, instants } = await read('t,a,b\n0,1,2\n0,3,4\n1,5,6\n');
    expect(readings).toHaveLength(6);
    expect(instants).toBe(2);
    expect(counts.repeatedTimestamps).toBe(1);
  });
});

describe('the long form', () => {
  test('groups the rows of one time by node', async () => {
    const { readings, counts, instants } = await read(
      't,what,who,v\n0,x,n1,1\n0,y,n1,2\n0,x,,3\n9,x,n1,4\n',
      LONG,
    );
    expect(readings.map(([, ...rest]) => rest)).toEqual([
      ['n1', 'x', 1],
      ['n1', 'y', 2],
      ['_', 'x', 3],
      ['n1', 'x', 4],
    ]);
    expect(instants).toBe(2);
    expect(counts).toMatchObject({ rows: 4, samples: 4, repeatedTimestamps: 0 });
  });

  test('a series with two values at one time is a repeated timestamp', async () => {
    const { counts } = await read('t,what,who,v\n0,x,n1,1\n0,x,n2,1\n0,x,n1,1\n', LONG);
    expect(counts.repeatedTimestamps).toBe(1);
  });
});

describe('what is not a clean value', () => {
  test('empty values are skipped and counted', async () => {
    const { readings, counts } = await read('t,a,b\n0,,1\n1, ,\n2,3\n');
    expect(readings).toHaveLength(2);
    expect(counts).toMatchObject({ emptyValues: 4, unparsableRows: 0 });
  });

  test('rows that cannot be read are counted with their lines, their readable values kept', async () => {
    const rows = ['t,a,b', 'yesterday,1,2', '0,1,2', '', '1,x,2', '"2",3,4', '3,5,6,7', '2026-13-45,1,1'];
    const { readings, counts } = await read(`${rows.join('\n')}\n`);
    expect(readings.map(([, , , value]) => value)).toEqual([1, 2, 2, 3, 4, 5, 6]);
    expect(counts).toMatchObject({ rows: 6, samples: 7, unparsableRows: 4, unparsableLines: [2, 5, 7, 8] });
  });

  test('lines stay right after a quoted field with a line break', async () => {
    const { counts } = await read('t,what,who,v\n0,"x\ny",n,1\n0,x,n,bad\n', LONG);
    expect(counts.unparsableLines).toEqual([4]);
  });

  test('a node or metric name the contract does not allow makes a row unparsable', async () => {
    const { counts } = await read(`t,what,who,v\n0,x,a b,1\n0,,n,1\n0,${'m'.repeat(129)},n,1\n`, LONG);
    expect(counts).toMatchObject({ samples: 0, unparsableRows: 3 });
  });

  test('NaN and infinities are handed on for the server to reject', async () => {
    const { readings, counts } = await read('t,a\n0,NaN\n1,inf\n2,-Infinity\n3,nan\n');
    expect(readings.map(([, , , value]) => value)).toEqual([Number.NaN, Infinity, -Infinity, Number.NaN]);
    expect(counts.unparsableRows).toBe(0);
  });

  test('an unclosed quote at the end is an unparsable row', async () => {
    const { readings, counts } = await read('t,a\n0,1\n1,"2\n');
    expect(readings).toHaveLength(1);
    expect(counts.unparsableRows).toBe(1);
  });
});

describe('the times of a recording', () => {
  test('steps back are counted and the values kept in the order of the file', async () => {
    const { readings, counts } = await read('t,a\n10,1\n5,2\n20,3\n19,4\n');
    expect(readings.map(([, , , value]) => value)).toEqual([1, 2, 3, 4]);
    expect(counts.stepsBack).toBe(2);
  });

  test('a gap is a step over three times the usual one, and does not change what is usual', async () => {
    const times = [0, 60, 120, 301, 361, 421, 601, 10_000, 10_060];
    const { counts } = await read(`t,a\n${times.map((t) => `${t},1`).join('\n')}\n`);
    expect(counts.gaps).toBe(2);
  });
});

describe('files that cannot be used', () => {
  test.each([
    ['', {}, /is empty/],
    ['\n\n', {}, /has no header/],
    ['t\n1\n', {}, /no metric column/],
    ['t,a,a\n1,2,3\n', {}, /two columns of one name/],
    ['t,a\n1,2\n', { time: 'when' }, /--time-column: the file has no column "when"; it has t, a/],
    ['t,a\n1,2\n', { metric: 'a' }, /go together/],
  ])('%j is refused in one sentence', async (content, columns, sentence) => {
    const error = await failure(read(content, columns));
    expect(error.exitCode).toBe(2);
    expect(error.message).toMatch(sentence);
  });

  test('a missing file and a folder are refused in one sentence', async () => {
    expect((await failure(openCsv(join(folder, 'none.csv')))).message).toMatch(/^there is no file/);
    expect((await failure(openCsv(folder))).message).toMatch(/is not a file$/);
  });

  test('a gzip file cut short is refused with the line reached', async () => {
    const rows = Array.from({ length: 20_000 }, (_, i) => `${i},${Math.sin(i)}`).join('\n');
    const cut = gzipSync(`t,a\n${rows}\n`).subarray(0, 50_000);
    expect((await failure(read(cut))).message).toMatch(
      /cannot be read beyond line \d+: (?:Error: )?unexpected end of file/,
    );
  });
});
