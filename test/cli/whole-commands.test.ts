/** Commands run whole: a real server with its own broker and database each time. */
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { runCommandLine } from '../../src/cli/command-line.ts';
import type { DemoResult } from '../../src/cli/demo-run.ts';
import { launchIsolated } from '../../src/cli/launch.ts';
import { type ReplayReport, reportDigest } from '../../src/cli/report.ts';
import { createClients } from '../../src/client/client.ts';
import { systemClock } from '../../src/clock.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'homeostat-commands-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** What a replay on a slow machine says every five seconds. */
const PROGRESS = /^( *\d+ % .*|waiting for the server to follow|scores \d+ of \d+ windows)\n/gm;

async function run(
  args: readonly string[],
  signal = new AbortController().signal,
): Promise<{ code: number; out: string; err: string }> {
  let out = '';
  let err = '';
  const code = await runCommandLine(args, {
    clock: systemClock,
    out: { write: (text) => (out += text) },
    err: { write: (text) => (err += text) },
    signal,
  });
  return { code, out, err: err.replace(PROGRESS, '') };
}

/** The program as it was built: what computes for long does so faster than within a test. Rejects unless it exits with 0. */
function runBuilt(args: readonly string[]): Promise<{ stdout: string; stderr: string }> {
  const program = join(dirname(fileURLToPath(import.meta.url)), '..', '..', 'dist', 'cli', 'main.js');
  return promisify(execFile)(process.execPath, [program, ...args]);
}

const readJson = async <Content>(path: string) => JSON.parse(await readFile(path, 'utf8')) as Content;

/** Two nodes a minute apart for 70 minutes, the second one wild at the end; rows as `time,host,metric,v`. */
function recordingRows(): string[] {
  const rows = ['time,host,metric,v'];
  for (let minute = 0; minute < 70; minute++) {
    const wild = minute >= 68 ? 50 : 0;
    for (const host of ['a', 'b']) {
      const base = Math.sin(minute * 1.7) + (host === 'b' ? wild : 0);
      rows.push(`${minute * 60},${host},x,${base}`, `${minute * 60},${host},y,${Math.cos(minute * 2.3)}`);
    }
  }
  return rows;
}

const LONG = ['--node-column', 'host', '--metric-column', 'metric', '--value-column', 'v'];

describe('homeostat demo', () => {
  test('drives a fleet through a crisis it saw coming, and every sample and session is accounted for', async () => {
    const json = join(folder, 'out.json');
    const { stdout: out, stderr } = await runBuilt([
      'demo',
      '--nodes',
      '8',
      '--seed',
      '3',
      '--for',
      '5s',
      '--json',
      json,
    ]);
    expect(stderr).toBe('');
    const result = await readJson<DemoResult>(json);
    const { telemetry, sessions } = result;
    expect(telemetry.offered).toBe(
      telemetry.accepted + telemetry.duplicate + telemetry.late + telemetry.rejected,
    );
    // 8 h and 10 minutes, 8 nodes, 4 metrics, a sample a second.
    expect(result.acknowledged).toBe((8 * 3_600 + 600) * 8 * 4);
    expect(telemetry.offered - telemetry.duplicate).toBe(result.acknowledged);
    expect(telemetry.rejected).toBe(0);
    // On a machine so busy that a producer stands still, the others' time goes on and the rest of its window is late.
    expect(telemetry.accepted).toBeGreaterThan(0.98 * result.acknowledged);
    expect(result.maps).toBeGreaterThan(2_900);
    expect(result.firstMapMs).toBeLessThan(15_000);
    expect(result.defenseLevelMax).toBeGreaterThanOrEqual(3);
    expect(['HIGH', 'CRITICAL', 'IMMINENT']).toContain(result.phaseRiskMax);
    expect(result.phaseRiskChanges[0]).toMatchObject({ from: 'UNKNOWN' });
    expect(result.warnedBeforeLoadMs).toBeGreaterThan(0);
    expect(Date.parse(result.loadRise!) - Date.parse(result.riskRise!)).toBe(result.warnedBeforeLoadMs);
    expect(sessions.created).toBeGreaterThan(0);
    expect(sessions.refused).toBeGreaterThan(0);
    const byLevel = Object.values(sessions.refusedByLevel).reduce((sum, count) => sum + count, 0);
    expect(byLevel).toBe(sessions.refused);
    expect(out).toMatch(/\d -> \d {2}utilization/);
    expect(out).toMatch(/phase risk at most [A-Z]+; it raised the level at \d\d:\d\d, \d+ min before load/);
    expect(out).toMatch(/buf curl/);
  }, 300_000);

  test('ends in order when it is interrupted', async () => {
    const interrupted = AbortSignal.timeout(2_500);
    const { code, err } = await run(['demo', '--nodes', '2', '--for', '60s'], interrupted);
    expect(code).toBe(1);
    expect(err).toMatch(/^homeostat: interrupted[^\n]*\n$/);
  }, 60_000);
});

describe('homeostat replay', () => {
  test('accounts for every sample, maps every node, scores every window, and repeats its digest', async () => {
    const file = join(folder, 'two nodes.csv.gz');
    await writeFile(file, gzipSync(`${recordingRows().join('\n')}\n`));
    const [first, second, scores] = ['1.json', '2.json', 'scores.csv'].map((name) => join(folder, name)) as [
      string,
      string,
      string,
    ];
    const { code, out, err } = await run(['replay', file, ...LONG, '--report', first, '--scores', scores]);
    expect({ code, err }).toEqual({ code: 0, err: '' });
    const report = await readJson<ReplayReport>(first);
    expect(report).toMatchObject({
      stream: { domain: 'replay', cluster: 'two_nodes' },
      telemetry: { offered: 280, accepted: 280, duplicate: 0, late: 0, rejected: 0 },
      messages: { offered: 141, accepted: 141 },
      recording: { rows: 280, samples: 280, unparsableRows: 0, gaps: 0 },
      maps: { count: 70, nodesMapped: 2, nodesObserved: 2 },
    });
    expect(report.digest).toBe(reportDigest(report));
    expect(out).toContain(report.digest);

    const [header, ...rows] = (await readFile(scores, 'utf8')).trimEnd().split('\n');
    expect(header).toBe('window_end,node,energy,surprise,score,top_metrics');
    // 64 windows are learned from; the 6 after it are scored, for both nodes.
    expect(rows.map((row) => row.split(',')[1]).join('')).toBe('ababababab'.concat('ab'));
    const wild = rows.filter((row) => row.split(',')[1] === 'b').map((row) => row.split(','));
    expect(Number(wild.at(-2)![4])).toBeGreaterThan(Number(wild[0]![4]));
    expect(wild.at(-2)![5]).toBe('x;y');
    for (const [end, , energy, surprise, score] of wild) {
      expect(new Date(end!).toISOString()).toBe(end);
      expect(Number(energy)).toBeGreaterThanOrEqual(0);
      expect(Number(surprise)).toBeGreaterThanOrEqual(0);
      expect(Number(score)).toBeLessThan(1);
    }

    expect((await run(['replay', file, ...LONG, '--rate', '3600x', '--report', second])).code).toBe(0);
    expect((await readJson<ReplayReport>(second)).digest).toBe(report.digest);
  }, 60_000);

  test('feeds the broker of its own server, whatever broker the environment names', async () => {
    const file = join(folder, 'short.csv');
    await writeFile(file, 'time,cpu\n0,0.5\n60,0.6\n');
    process.env['HOMEOSTAT_NATS_URL'] = 'nats://127.0.0.1:1';
    try {
      const report = join(folder, 'report.json');
      const { code, err } = await run(['replay', file, '--report', report]);
      expect({ code, err }).toEqual({ code: 0, err: '' });
      expect((await readJson<ReplayReport>(report)).telemetry.accepted).toBe(2);
    } finally {
      delete process.env['HOMEOSTAT_NATS_URL'];
    }
  }, 30_000);

  test('counts what is late and what is not finite, on a running server, and only what it sent itself', async () => {
    const file = join(folder, 'odd.csv');
    await writeFile(file, 'time,v\n0,1\n100,2\n50,3\n110,nan\n120,\n130,oops\n140,4\n');
    const own = await launchIsolated(false);
    try {
      const report = join(folder, 'report.json');
      const args = [
        'replay',
        file,
        '--to',
        own.dataDir,
        '--domain',
        'lab',
        '--cluster',
        'odd',
        '--report',
        report,
      ];
      expect(await run(args)).toMatchObject({ code: 0, err: '' });
      expect(await readJson<ReplayReport>(report)).toMatchObject({
        telemetry: { offered: 5, accepted: 3, late: 1, rejected: 1, rejectedByReason: { NOT_FINITE: 1 } },
        recording: {
          rows: 7,
          samples: 5,
          emptyValues: 1,
          unparsableRows: 1,
          unparsableLines: [7],
          stepsBack: 1,
        },
      });
      // The same recording again into the same stream: its time is over.
      expect(await run(args)).toMatchObject({ code: 0, err: '' });
      const again = await readJson<ReplayReport>(report);
      expect(again.telemetry).toMatchObject({ offered: 5, accepted: 0, duplicate: 0, late: 4, rejected: 1 });
    } finally {
      await own.dispose();
    }
    expect(await run(['replay', file, '--to', own.dataDir])).toMatchObject({
      code: 2,
      err: `homeostat: no server runs on ${own.dataDir}\n`,
    });
  }, 60_000);
});

test('homeostat token prints a token for the administrator, for a role, and for scopes, and nothing else', async () => {
  const own = await launchIsolated(true);
  try {
    const token = async (...args: string[]) => {
      const { code, out, err } = await run(['token', '--to', own.dataDir, ...args]);
      expect({ code, err }).toEqual({ code: 0, err: '' });
      expect(out).toMatch(/^[\w-]+\.[\w-]+\.[\w-]+\n$/);
      return out.trim();
    };
    const outcomeOf = async (bearer: string) => {
      const clients = createClients({ address: own.server.grpcAddress, token: bearer });
      const calls = [clients.users.listUsers({}), clients.session.listSessions({})];
      const outcomes = (await Promise.allSettled(calls)).map(({ status }) => status === 'fulfilled');
      clients.close();
      return outcomes;
    };
    expect(await outcomeOf(await token())).toEqual([true, true]);
    expect(await outcomeOf(await token('--scope', 'session.read', '--ttl', '1m'))).toEqual([false, true]);
    for (let i = 0; i < 2; i++)
      expect(await outcomeOf(await token('--role', 'viewer'))).toEqual([false, true]);
    expect(await run(['token', '--to', own.dataDir, '--role', 'nobody-has-this'])).toMatchObject({
      code: 1,
      out: '',
      err: expect.stringContaining('ROLE_NOT_FOUND'),
    });
  } finally {
    await own.dispose();
    await rm(own.dataDir, { recursive: true });
  }
}, 60_000);

test('homeostat token --bootstrap writes a new admin key that only its owner can read, and never prints it', async () => {
  const before = process.env['HOMEOSTAT_DATA_DIR'];
  process.env['HOMEOSTAT_DATA_DIR'] = folder;
  try {
    const keys: string[] = [];
    for (let i = 0; i < 2; i++) {
      const { code, out, err } = await run(['token', '--bootstrap']);
      expect({ code, err }).toEqual({ code: 0, err: '' });
      const path = join(folder, 'admin.key');
      expect(out).toContain(path);
      expect((await stat(path)).mode & 0o777).toBe(0o600);
      const key = (await readFile(path, 'utf8')).trim();
      expect(out).not.toContain(key);
      keys.push(key);
    }
    expect(keys[0]).not.toBe(keys[1]);
  } finally {
    if (before === undefined) delete process.env['HOMEOSTAT_DATA_DIR'];
    else process.env['HOMEOSTAT_DATA_DIR'] = before;
  }
});
