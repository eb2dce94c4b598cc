/** A server asked for twice of what it can do for a minute, by clients that come again when they are told to. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { afterEach, expect, test } from '@jest/globals';
import { TOKEN } from '../rpc/edge-world.ts';
import { type Clients, connectClients, type Outcome } from './clients.ts';

const SLOTS = 8;
const SLOT_MS = 80;
const OVERLOAD_SECONDS = 60;
const AFTER_SECONDS = 25;
/** Time the server has to recover once load has fallen. */
const RECOVERY_SECONDS = 10;
const CRITICAL_PER_SECOND = 20;
/** How long callers wait for an answer, all attempts included, seconds. */
const PATIENCE = { normal: 10, critical: 30 };
/** What memory may grow by under load: sockets, streams and what waits in them. */
const GROWTH_BYTES_MAX = 256 * 1024 * 1024;

const ECHO = '/homeostat.probe.v1.ProbeService/Echo';
const BEAT = '/homeostat.probe.v1.ProbeService/Beat';
const at = (path: string) => fileURLToPath(new URL(path, import.meta.url));

interface Report {
  readonly rssBytes: number;
  readonly limit: number;
  readonly overload: number;
  readonly loopDelaySeconds: number;
}

let server: ChildProcess;
let clients: Clients;
afterEach(() => {
  clients.close();
  server.kill('SIGKILL');
});

const isAnswered = ({ status }: Outcome) => status === 0;
const share = (outcomes: readonly Outcome[], good: (outcome: Outcome) => boolean) =>
  outcomes.filter(good).length / outcomes.length;
const percent = (value: number) => `${(100 * value).toFixed(2)} %`;
const mib = (bytes: number) => `${(bytes / 1024 / 1024).toFixed(0)} MiB`;

test('identity.E1 twice its capacity for a minute: bounded, critical calls served, and all well again by itself', async () => {
  server = fork(at('../rpc/slot-server.ts'), [String(SLOTS), String(SLOT_MS)], {
    execArgv: ['--no-warnings', '--import', at('../support/typescript-loader.mjs')],
    stdio: ['ignore', 'inherit', 'ignore', 'ipc'],
  });
  const reports: Report[] = [];
  const [{ address }] = await once(server, 'message');
  server.on('message', (report: Report) => reports.push(report));
  clients = connectClients(address, TOKEN);

  await clients.saturate(ECHO, 2 * SLOTS, 2);
  const capacity = await clients.saturate(ECHO, 2 * SLOTS, 5);
  const rssBefore = reports.at(-1)!.rssBytes;
  const seen = reports.length;

  const critical = clients.run({
    path: BEAT,
    perSecond: CRITICAL_PER_SECOND,
    seconds: OVERLOAD_SECONDS + AFTER_SECONDS,
    patienceSeconds: PATIENCE.critical,
  });
  /** Calls of the usual kind beside the critical ones, so that together they are a multiple of what it can do. */
  const echoes = (multiple: number, seconds: number) =>
    clients.run({
      path: ECHO,
      perSecond: multiple * capacity - CRITICAL_PER_SECOND,
      seconds,
      patienceSeconds: PATIENCE.normal,
    });
  const normal = echoes(2, OVERLOAD_SECONDS);
  await new Promise((resolve) => setTimeout(resolve, OVERLOAD_SECONDS * 1000));
  const during = reports.slice(seen);
  const after = echoes(0.7, AFTER_SECONDS);

  const beats = await critical;
  const recovered = (await after).filter(({ dueSeconds }) => dueSeconds >= RECOVERY_SECONDS);
  const normals = await normal;
  const rssMost = Math.max(...reports.map(({ rssBytes }) => rssBytes));
  const answeredPerSecond = normals.filter(isAnswered).length / OVERLOAD_SECONDS;
  const answeredAtOnce = share(recovered, (outcome) => isAnswered(outcome) && outcome.attempts === 1);
  console.log(
    [
      `capacity ${capacity.toFixed(0)} calls/s (${SLOTS} slots of ${SLOT_MS} ms: ${(SLOTS * 1000) / SLOT_MS})`,
      `offered ${(2 * capacity).toFixed(0)}/s for ${OVERLOAD_SECONDS} s: ${answeredPerSecond.toFixed(0)}/s answered, ${normals.reduce((sum, { attempts }) => sum + attempts, 0)} attempts of ${normals.length} calls`,
      `critical answered ${percent(share(beats, isAnswered))} of ${beats.length}, slowest ${Math.max(...beats.map(({ latencyMs }) => latencyMs)).toFixed(0)} ms`,
      `after the fall to 0.7: ${percent(answeredAtOnce)} of ${recovered.length} answered at once from second ${RECOVERY_SECONDS} on`,
      `memory ${mib(rssBefore)} before, ${mib(rssMost)} at most`,
      `limit ${Math.min(...during.map(({ limit }) => limit)).toFixed(0)}..${Math.max(...during.map(({ limit }) => limit)).toFixed(0)}, overload at most ${Math.max(...during.map(({ overload }) => overload)).toFixed(2)}, loop delay at most ${(1000 * Math.max(...during.map(({ loopDelaySeconds }) => loopDelaySeconds))).toFixed(0)} ms`,
    ].join('\n'),
  );
  expect(capacity).toBeGreaterThan((0.7 * SLOTS * 1000) / SLOT_MS);
  expect(rssMost - rssBefore).toBeLessThan(GROWTH_BYTES_MAX);
  expect(share(beats, isAnswered)).toBeGreaterThanOrEqual(0.999);
  expect(answeredAtOnce).toBeGreaterThanOrEqual(0.95);
  expect(server.exitCode).toBeNull();
});
