/**
 * Nothing vanishes: a recording is replayed while the server and its broker are killed with SIGKILL at random points.
 * The report's digest (every count, gap, window, map and level change) must equal that of the undisturbed replay.
 * CHAOS_SEED in the environment picks other points.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { freePort } from '../../src/bus/port.ts';
import { createRandom } from '../../src/random.ts';
import { eventually } from '../support/eventually.ts';

const program = join(dirname(fileURLToPath(import.meta.url)), '..', '..', 'dist', 'cli', 'main.js');
const SEED = Number(process.env['CHAOS_SEED'] ?? 1);
const NODES = 12;
const INSTANTS = 3_000;
const KILLS = 6;

/** A long-form recording with load that rises and falls, so that levels change and maps differ. */
function writeRecording(file: string): number {
  const random = createRandom(20260105);
  const rows = ['time,node,metric,value'];
  for (let t = 0; t < INSTANTS; t++) {
    const load = 0.5 + 0.45 * Math.sin((2 * Math.PI * t) / INSTANTS) ** 3;
    for (let node = 0; node < NODES; node++) {
      if (random.uniform() < 0.01) continue;
      rows.push(`${t * 2},n${node},cpu,${(load + 0.02 * random.normal()).toFixed(4)}`);
      rows.push(`${t * 2},n${node},memory,${(0.4 + 0.01 * random.normal()).toFixed(4)}`);
    }
  }
  writeFileSync(file, `${rows.join('\n')}\n`);
  return rows.length - 1;
}

interface Report {
  readonly digest: string;
  readonly telemetry: {
    readonly offered: number;
    readonly accepted: number;
    readonly duplicate: number;
    readonly late: number;
    readonly rejected: number;
  };
  readonly levelChanges: readonly unknown[];
  readonly maps: { readonly count: number };
}

describe('a replay through kill -9', () => {
  let folder = '';
  let recording = '';
  let samples = 0;
  let undisturbed: Report;
  const children = new Set<ChildProcess>();

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'homeostat-chaos-'));
    recording = join(folder, 'recording.csv');
    samples = writeRecording(recording);
    undisturbed = await replay([]);
  }, 120_000);
  afterAll(async () => {
    for (const child of children) await end(child, 'SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  });

  const start = (args: readonly string[], environment: Record<string, string> = {}) => {
    const child = spawn(process.execPath, [program, ...args], {
      env: { ...process.env, HOMEOSTAT_LOG_LEVEL: 'error', ...environment },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    children.add(child);
    child.once('exit', () => children.delete(child));
    return child;
  };
  const end = (child: ChildProcess, signal: NodeJS.Signals) =>
    new Promise<void>((resolve) => {
      if (child.exitCode !== null || child.signalCode !== null) return resolve();
      child.once('exit', () => resolve());
      child.kill(signal);
    });
  const finished = (child: ChildProcess) =>
    new Promise<{ code: number | null; errors: string }>((resolve) => {
      let errors = '';
      child.stderr!.on('data', (chunk) => {
        errors = (errors + chunk).slice(-4_000);
      });
      child.once('close', (code) => resolve({ code, errors }));
    });
  const replay = async (
    args: readonly string[],
    during: () => Promise<void> = async () => {},
  ): Promise<Report> => {
    const report = join(folder, 'report.json');
    const columns = ['--node-column', 'node', '--metric-column', 'metric', '--value-column', 'value'];
    const child = start([
      'replay',
      recording,
      '--report',
      report,
      '--time-column',
      'time',
      ...columns,
      ...args,
    ]);
    const done = finished(child);
    await during();
    const { code, errors } = await done;
    expect({ code, errors: code === 0 ? '' : errors }).toEqual({ code: 0, errors: '' });
    return JSON.parse(readFileSync(report, 'utf8')) as Report;
  };

  test('the undisturbed replay accounts for every sample, changes levels and makes maps', () => {
    expect(undisturbed.telemetry).toMatchObject({ offered: samples, accepted: samples });
    expect(undisturbed.levelChanges.length).toBeGreaterThan(3);
    expect(undisturbed.maps.count).toBe(INSTANTS / 5);
  });

  test(`digests are equal after ${KILLS} kills of the server and ${KILLS} of the broker`, async () => {
    const random = createRandom(SEED);
    const dataDir = join(folder, 'data');
    const environment = {
      HOMEOSTAT_DATA_DIR: dataDir,
      HOMEOSTAT_GRPC_ADDRESS: `127.0.0.1:${await freePort()}`,
      HOMEOSTAT_HTTP_ADDRESS: `127.0.0.1:${await freePort()}`,
    };
    const record = () =>
      JSON.parse(readFileSync(join(dataDir, 'server.json'), 'utf8')) as { pid: number; grpcAddress: string };
    const brokerPid = () =>
      (JSON.parse(readFileSync(join(dataDir, 'nats', 'broker.json'), 'utf8')) as { pid: number }).pid;
    /** False for a broker that is gone already: one killed a moment ago that nobody has replaced yet. */
    const killed = (pid: number): boolean => {
      try {
        return process.kill(pid, 'SIGKILL');
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
        throw error;
      }
    };
    const serving = () =>
      eventually(
        async () => {
          try {
            return record();
          } catch {
            return undefined; // Not written yet.
          }
        },
        (found) => found?.pid === server.pid && found?.grpcAddress !== '',
        60_000,
      );

    /** As whoever runs a server does: one that could not start, since its broker died under it, is started again. */
    const supervised = (): ChildProcess => {
      const child = start(['serve'], environment);
      child.once('exit', (code) => {
        if (child === server && code !== null && code !== 0) server = supervised();
      });
      return child;
    };
    let server = supervised();
    await serving();
    let kills = 0;
    const report = await replay(['--to', dataDir, '--rate', '600x'], async () => {
      // Killed at any point: while it folds, commits, starts, recovers.
      while (kills < 2 * KILLS) {
        await new Promise((resolve) => setTimeout(resolve, 100 + 900 * random.uniform()));
        if (kills % 2 === 0) {
          await end(server, 'SIGKILL');
          server = supervised();
          if (random.uniform() < 0.5) await serving();
        } else {
          await eventually(async () => killed(brokerPid()), Boolean, 60_000);
        }
        kills++;
      }
    });
    expect(kills).toBe(2 * KILLS);
    expect(report.telemetry.accepted).toBe(samples);
    expect(report.telemetry.offered).toBe(samples + report.telemetry.duplicate);
    expect(report.digest).toBe(undisturbed.digest);
    await serving();
    await end(server, 'SIGTERM');
  });
});
