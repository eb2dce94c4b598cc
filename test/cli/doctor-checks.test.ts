/** Checks one by one, where their cause is a figure: clocks, memory, versions, open files, room, and how time runs out. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { checkOffset } from '../../src/cli/doctor/clocks.ts';
import { judgeRoom } from '../../src/cli/doctor/data-directory.ts';
import { LATE, withDeadline } from '../../src/cli/doctor/deadline.ts';
import { formatBytes, ok, problem, warning, worst } from '../../src/cli/doctor/finding.ts';
import { checkMemory, checkNode, checkOpenFiles } from '../../src/cli/doctor/machine.ts';
import { quoted } from '../../src/cli/doctor/remedy.ts';
import { readConfig } from '../../src/config.ts';
import { inspectSqlite } from '../../src/store/inspect.ts';
import { createFakeClock } from '../support/fake-clock.ts';
import { openTestStore } from '../support/stores.ts';
import { environmentOf, findingsOf, makeFolder, of, removeFolder, startBrokerWith } from './doctor-world.ts';

describe('the clock', () => {
  test.each([
    [0, 'OK', /within 0\.1 s of/],
    [1_900, 'OK', /within 1\.9 s of/],
    [10_000, 'WARNING', /10\.0 s ahead of the broker's/],
    [-10_000, 'WARNING', /10\.0 s behind the broker's/],
    [40_000, 'PROBLEM', /40\.0 s ahead/],
    [-40_000, 'PROBLEM', /40\.0 s behind/],
  ])('that is off by %d ms', (offMs, severity, found) => {
    const reading = { askedMs: 5_000 + offMs, theirsMs: 5_000, answeredMs: 5_000 + offMs };
    expect(checkOffset('clock.broker', "the broker's", reading)).toMatchObject({
      severity,
      found: expect.stringMatching(found),
    });
  });

  test('is not blamed for the time the question took', () => {
    const reading = { askedMs: 0, theirsMs: 100, answeredMs: 8_000 };
    expect(checkOffset('clock.broker', "the broker's", reading)).toMatchObject({ severity: 'OK' });
  });

  test.each([40_000, -40_000])('that is %d ms off is told by a real broker', async (offMs) => {
    const folder = await makeFolder();
    const broker = await startBrokerWith(folder, 'jetstream { store_dir: STORE }');
    const environment = environmentOf(join(folder, 'data'), {
      HOMEOSTAT_NATS_URL: `nats://127.0.0.1:${broker.port}`,
    });
    const findings = await findingsOf(environment, { clock: createFakeClock(Date.now() + offMs) });
    expect(of(findings, 'clock.broker')).toMatchObject([
      { severity: 'PROBLEM', found: expect.stringMatching(offMs > 0 ? /ahead of/ : /behind/) },
    ]);
    await broker.stop();
    await removeFolder(folder);
  });

  test.each([
    [10_000, 'WARNING'],
    [60_000, 'PROBLEM'],
  ])('that was set back by %d ms is told by what was written before', async (backMs, severity) => {
    const dataDir = await makeFolder();
    await writeFile(join(dataDir, 'admin.key'), 'x', { mode: 0o600 });
    const then = new Date(Date.now() + backMs);
    await utimes(join(dataDir, 'admin.key'), then, then);
    expect(of(await findingsOf(environmentOf(dataDir)), 'clock.files')).toMatchObject([{ severity }]);
    await removeFolder(dataDir);
  });
});

describe('the machine', () => {
  const MIB = 1024 ** 2;
  test.each([
    [8_192, 4_096, 'OK'],
    [400, 300, 'WARNING'],
    [8_192, 200, 'WARNING'],
    [200, 180, 'PROBLEM'],
    [8_192, 64, 'PROBLEM'],
  ])('with %d MiB of memory and %d left is %s', (limit, available, severity) => {
    expect(checkMemory(limit * MIB, available * MIB)).toMatchObject({ severity });
  });

  test('needs the Node that the package asks for', () => {
    expect(checkNode('20.19.0', '>=20.19.0')).toMatchObject({ severity: 'OK' });
    expect(checkNode('20.18.9', '>=20.19.0')).toMatchObject({
      severity: 'PROBLEM',
      remedy: expect.stringContaining('20.19.0'),
    });
  });

  const onLinux = process.platform === 'linux' ? test : test.skip;
  onLinux('may have too few files open, as the limit of the running process says', async () => {
    const child = spawn('sh', ['-c', 'ulimit -n 600 && echo limited && exec sleep 60'], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    await once(child.stdout, 'data');
    const config = readConfig({});
    expect(await checkOpenFiles(config, child.pid)).toMatchObject([
      { severity: 'WARNING', remedy: expect.stringContaining('ulimit -n 1256') },
    ]);
    const modest = readConfig({ HOMEOSTAT_RPC_CONNECTIONS_MAX: '100' });
    expect(await checkOpenFiles(modest, child.pid)).toMatchObject([{ severity: 'OK' }]);
    child.kill();
    await once(child, 'exit');
  });
});

describe('the room on a disk', () => {
  const GIB = 1024 ** 3;
  test.each([
    [100, 8, 'OK'],
    [8.1, 8, 'WARNING'],
    [8.1, 2, 'OK'],
    [0.1, 0, 'PROBLEM'],
  ])('with %d GiB free and %d GiB of telemetry to come is %s', (free, growth, severity) => {
    expect(judgeRoom('/data', free * GIB, growth * GIB, 8 * GIB)).toMatchObject({ severity });
  });
});

describe('a deadline', () => {
  test('ends what takes longer, calls it off, and leaves no timer', async () => {
    const clock = createFakeClock();
    let aborted = false;
    const late = withDeadline(
      clock,
      100,
      (signal) =>
        new Promise<string>((resolve) => {
          signal.addEventListener('abort', () => {
            aborted = true;
            resolve('too late');
          });
        }),
    );
    await clock.advance(100);
    expect(await late).toBe(LATE);
    expect(aborted).toBe(true);
    expect(await withDeadline(clock, 100, async () => 'in time')).toBe('in time');
    await expect(withDeadline(clock, 100, () => Promise.reject(new Error('failed')))).rejects.toThrow(
      'failed',
    );
    expect(clock.pending()).toBe(0);
  });

  test('leaves a database unsearched, which is no finding of damage', async () => {
    const { dataDir, dispose } = await openTestStore();
    const view = await inspectSqlite({ dataDir, inUse: true, migrations: [], signal: AbortSignal.abort() });
    expect(view).toMatchObject({ damage: undefined });
    await dispose();
  });
});

describe('findings', () => {
  test('are as grave as the gravest', () => {
    expect(worst([])).toBe('OK');
    expect(worst([ok('a.b', ''), warning('a.b', '', '')])).toBe('WARNING');
    expect(worst([problem('a.b', '', ''), warning('a.b', '', '')])).toBe('PROBLEM');
  });

  test('show sizes as people write them', () => {
    expect([0, 1_023, 1_024, 1.5 * 1024 ** 3, 200 * 1024 ** 2].map(formatBytes)).toEqual([
      '0 bytes',
      '1023 bytes',
      '1.0 KiB',
      '1.5 GiB',
      '200 MiB',
    ]);
  });

  test('quote paths so that a shell gives them back', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.string({ minLength: 1 }).filter((word) => !word.includes('\0')),
        async (word) => {
          const child = spawn('sh', ['-c', `printf %s ${quoted(word)}`], {
            stdio: ['ignore', 'pipe', 'inherit'],
          });
          let out = '';
          child.stdout.on('data', (chunk) => {
            out += chunk;
          });
          await once(child, 'close');
          expect(out).toBe(word);
        },
      ),
      { numRuns: 30 },
    );
  });
});
