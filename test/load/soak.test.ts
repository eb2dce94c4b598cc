/**
 * A server restarted in order every hour, as for upgrades: at least 99.95 % of calls are answered with neither INTERNAL
 * nor UNAVAILABLE. Calls start when they are due, and are repeated as the client does where nobody tells it otherwise: for
 * up to 1.5 s, and only those that may be. By default the hours are minutes: an hour's failures are those about its one
 * restart, which is as long as in a longer hour, and a share of the other calls. SOAK_HOUR_MINUTES=60 soaks real hours,
 * SOAK_HOURS says how many.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { freePort } from '../../src/bus/port.ts';
import { type Clients, createClients, RpcError } from '../../src/client/client.ts';
import { readServerRecord } from '../../src/data-dir.ts';
import { eventually } from '../support/eventually.ts';

const program = join(dirname(fileURLToPath(import.meta.url)), '..', '..', 'dist', 'cli', 'main.js');
const HOURS = Number(process.env['SOAK_HOURS'] ?? 4);
const HOUR_MS = 60_000 * Number(process.env['SOAK_HOUR_MINUTES'] ?? 1);
const TICK_MS = 50;
const NODES = 12;
/** Batches, a second of event time each, before the soak. */
const FIRST_BATCHES = 48;
const AVAILABLE_MIN = 0.9995;
/** A call that fails within this after a restart began is one of the restart's. */
const RESTART_MS_MAX = 10_000;
const STREAM = { domain: 'soak', cluster: 'fleet' };

let dataDir = '';
let port = 0;
let server: ChildProcess;
let clients: Clients;

beforeAll(async () => {
  dataDir = mkdtempSync(join(tmpdir(), 'homeostat-soak-'));
  port = await freePort();
  await start();
  const token = readFileSync(join(dataDir, 'admin.key'), 'utf8').trim();
  clients = createClients({ address: `127.0.0.1:${port}`, token });
  await feedFirstMaps();
});
afterAll(async () => {
  clients?.close();
  await stop();
  rmSync(dataDir, { recursive: true, force: true });
});

async function start(): Promise<void> {
  const child = spawn(process.execPath, [program, 'serve'], {
    env: {
      ...process.env,
      HOMEOSTAT_LOG_LEVEL: 'error',
      HOMEOSTAT_DATA_DIR: dataDir,
      HOMEOSTAT_GRPC_ADDRESS: `127.0.0.1:${port}`,
      HOMEOSTAT_HTTP_ADDRESS: '127.0.0.1:0',
      HOMEOSTAT_RPC_RATE_ENTERPRISE: '100000000',
    },
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  server = child;
  await eventually(
    async () => readServerRecord(dataDir),
    (found) => found?.pid === child.pid && found!.grpcAddress !== '',
    60_000,
  );
}

/** Enough of every node that the stream has a map of the shape that forecasts are asked for in. */
async function feedFirstMaps(): Promise<void> {
  for (let nth = 0; nth < FIRST_BATCHES; nth++) await clients.telemetry.submitBatch({ batch: batchOf(nth) });
  await eventually(
    () => clients.energy.getMap({ stream: STREAM }).catch(() => undefined),
    (found) => found?.map?.grid?.rows === 3 && found.map.grid.cols === 4,
  );
}

async function stop(): Promise<void> {
  const gone = new Promise((resolve) => server.once('exit', resolve));
  server.kill('SIGTERM');
  await gone;
}

/** What a fleet and its operators ask for: telemetry, maps, forecasts, states, health, sessions, in turn. */
function callOf(nth: number): Promise<unknown> {
  const round = Math.floor(nth / NODES);
  switch (nth % 6) {
    case 0:
      return clients.telemetry.submitBatch({ batch: batchOf(FIRST_BATCHES + nth / 6) });
    case 1:
      return clients.energy.listMaps({ stream: STREAM, page: { pageSize: 3 } });
    case 2:
      return clients.energy.predict({ stream: STREAM, map: { grid: gridOf(round) } });
    case 3:
      return clients.energy.computeState({ map: { grid: gridOf(round) } });
    case 4:
      return clients.resilience.getHealth({});
    default:
      return createAndCancel(`soak-${nth}`);
  }
}

/** A session that is over at once, so that there are never too many. */
async function createAndCancel(key: string): Promise<void> {
  const { session } = await clients.session.createSession({ idempotencyKey: key, name: key });
  const { sessionId, version } = session!;
  await clients.session.cancelSession({ sessionId, version, idempotencyKey: `${key}-cancel` });
}

/** A second of event time a batch, each node in its turn. */
function batchOf(nth: number) {
  return {
    sourceId: `n${nth % NODES}`,
    epoch: 1,
    sequence: Math.floor(nth / NODES) + 1,
    ...STREAM,
    node: `n${nth % NODES}`,
    baseTime: { seconds: BigInt(1_767_571_200 + nth), nanos: 0 },
    metrics: [{ name: 'power', unit: 'W' }],
    metricIndex: [0],
    offsetMs: [0],
    values: [100 + 10 * Math.sin(nth / 50)],
  };
}

/** The shape that the layout of twelve nodes has. */
function gridOf(round: number) {
  return { rows: 3, cols: 4, values: Array.from({ length: NODES }, (_, cell) => Math.sin(round + cell)) };
}

interface Failure {
  readonly atMs: number;
  readonly code: string;
}

test(
  '99.95 % uptime: calls without INTERNAL and UNAVAILABLE over a soak with hourly restarts',
  async () => {
    const failures: Failure[] = [];
    const otherwise = new Map<string, number>();
    const restarts: { atMs: number; tookMs: number }[] = [];
    const settled: Promise<void>[] = [];
    const startMs = performance.now();
    const failed = (error: unknown) => {
      if (!(error instanceof RpcError)) throw error;
      if (error.code === 'INTERNAL' || error.code === 'UNAVAILABLE')
        failures.push({ atMs: performance.now() - startMs, code: error.code });
      else {
        const name = `${error.code} ${error.reason}`;
        otherwise.set(name, (otherwise.get(name) ?? 0) + 1);
      }
    };
    const ticking = setInterval(() => {
      const due = Math.floor((performance.now() - startMs) / TICK_MS);
      while (settled.length < due) settled.push(callOf(settled.length).then(() => {}, failed));
    }, TICK_MS);
    for (let hour = 0; hour < HOURS; hour++) {
      const untilMs = startMs + (hour + 0.5) * HOUR_MS;
      await new Promise((resolve) => setTimeout(resolve, untilMs - performance.now()));
      const atMs = performance.now() - startMs;
      await stop();
      await start();
      restarts.push({ atMs, tookMs: performance.now() - startMs - atMs });
    }
    await new Promise((resolve) => setTimeout(resolve, startMs + HOURS * HOUR_MS - performance.now()));
    clearInterval(ticking);
    await Promise.all(settled);

    const inRestart = failures.filter(({ atMs }) =>
      restarts.some((restart) => atMs >= restart.atMs && atMs < restart.atMs + RESTART_MS_MAX),
    ).length;
    const between = failures.length - inRestart;
    const callsAnHour = 3_600_000 / TICK_MS;
    const available = 1 - inRestart / (HOURS * callsAnHour) - between / settled.length;
    console.log(
      [
        `${settled.length} calls, ${inRestart} failed about ${HOURS} restarts, ${between} otherwise; ${[...otherwise].map(([name, count]) => `${count} ${name}`).join(', ') || 'no other refusal'}`,
        `restarts took ${restarts.map(({ tookMs }) => `${(tookMs / 1000).toFixed(2)} s`).join(', ')}`,
        `available with a restart an hour: ${(100 * available).toFixed(4)} %`,
      ].join('\n'),
    );
    expect(failures.filter(({ code }) => code === 'INTERNAL')).toEqual([]);
    expect(between).toBe(0);
    expect(available).toBeGreaterThanOrEqual(AVAILABLE_MIN);
    expect([...otherwise.keys()]).toEqual([]);
  },
  600_000 + HOURS * HOUR_MS,
);
