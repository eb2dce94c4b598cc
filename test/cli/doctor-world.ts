/** What the doctor's tests examine: folders, servers in processes of their own, and brokers with a given configuration. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from '@jest/globals';
import { brokerFilesIn, readBrokerState } from '../../src/bus/broker-files.ts';
import { findNats } from '../../src/bus/find-nats.ts';
import { freePort, serverNameAt } from '../../src/bus/port.ts';
import { isBrokerOf } from '../../src/bus/process-identity.ts';
import { type ExaminationOptions, examine } from '../../src/cli/doctor/examination.ts';
import type { Finding } from '../../src/cli/doctor/finding.ts';
import { systemClock } from '../../src/clock.ts';
import { until } from '../support/broker.ts';

const loader = fileURLToPath(new URL('../support/typescript-loader.mjs', import.meta.url));

/** How to run a script of this folder. */
export function scriptCommand(script: string): readonly string[] {
  const path = fileURLToPath(new URL(script, import.meta.url));
  return [process.execPath, '--no-warnings', '--import', loader, path];
}

/** A fresh folder below the system's; the caller removes it. */
export function makeFolder(): Promise<string> {
  return mkdtemp(join(tmpdir(), 'homeostat-doctor-'));
}

/** The environment of an installation in a folder, on free ports. */
export function environmentOf(dataDir: string, extra: Record<string, string> = {}): Record<string, string> {
  return {
    HOMEOSTAT_DATA_DIR: dataDir,
    HOMEOSTAT_GRPC_ADDRESS: '127.0.0.1:0',
    HOMEOSTAT_HTTP_ADDRESS: '127.0.0.1:0',
    ...extra,
  };
}

/** Examines, and holds every finding to the rule that what is not OK comes with something to do. */
export async function findingsOf(
  environment: Record<string, string>,
  options: Partial<ExaminationOptions> = {},
): Promise<readonly Finding[]> {
  const findings = await examine({ environment, clock: systemClock, thorough: false, ...options });
  for (const finding of findings) {
    expect(finding.found).toMatch(/^\S.*\.$/s);
    if (finding.severity !== 'OK') expect(finding.remedy.length).toBeGreaterThan(10);
  }
  return findings;
}

/** The findings of one check. */
export function of(findings: readonly Finding[], check: string): readonly Finding[] {
  return findings.filter((finding) => finding.check === check);
}

/** The checks that found a problem. */
export function problemsIn(findings: readonly Finding[]): string[] {
  return findings.filter(({ severity }) => severity === 'PROBLEM').map(({ check }) => check);
}

export interface ServerProcess {
  readonly pid: number;
  readonly httpAddress: string;
  readonly environment: Record<string, string>;
  /** Asks it to end, and waits. */
  stop(): Promise<void>;
  /** Ends it at once, as a crash would; its broker runs on. */
  crash(): Promise<void>;
}

/** A server in a process of its own, on an environment of `environmentOf`. */
export async function startServerProcess(environment: Record<string, string>): Promise<ServerProcess> {
  const [command = '', ...args] = scriptCommand('./doctor-server.ts');
  const child: ChildProcess = spawn(command, args, {
    env: { PATH: process.env['PATH'], HOME: process.env['HOME'], ...environment },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [line] = (await once(child.stdout!, 'data')) as [Buffer];
  const { httpAddress } = JSON.parse(line.toString()) as { httpAddress: string };
  const end = async (signal: NodeJS.Signals) => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill(signal);
    await once(child, 'exit');
  };
  return {
    pid: child.pid!,
    httpAddress,
    environment,
    stop: () => end('SIGTERM'),
    crash: () => end('SIGKILL'),
  };
}

/** Ends the broker that a crashed server left in a data directory, if any. */
export async function endOrphan(dataDir: string): Promise<void> {
  const files = brokerFilesIn(dataDir);
  const left = readBrokerState(files);
  if (!left || !isBrokerOf(left.pid, files.config)) return;
  process.kill(left.pid, 'SIGKILL');
  await until(() => !isBrokerOf(left.pid, files.config));
}

export interface OwnBroker {
  readonly port: number;
  readonly pid: number;
  stop(): Promise<void>;
}

/** A nats-server with a configuration, JetStream's files in `folder`. `STORE` in the text stands for that folder. */
export async function startBrokerWith(folder: string, configuration: string): Promise<OwnBroker> {
  const port = await freePort();
  const file = join(folder, `broker-${port}.conf`);
  const text = configuration.replace('STORE', JSON.stringify(join(folder, 'store')));
  await writeFile(file, `listen: "127.0.0.1:${port}"\nserver_name: doctored\n${text}\n`);
  const { command } = (await findNats())!;
  const child = spawn(command, ['-c', file], { stdio: 'ignore' });
  await until(async () => (await serverNameAt(port)) === 'doctored');
  return {
    port,
    pid: child.pid!,
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill('SIGKILL');
      await once(child, 'exit');
    },
  };
}

/** A port that takes connections and never says a word. */
export async function startSilence(): Promise<{ readonly port: number; stop(): Promise<void> }> {
  const sockets = new Set<{ destroy(): unknown }>();
  const server: Server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as { port: number }).port,
    async stop() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Names and contents of files below a folder, to be compared after a visit that must leave no trace. */
export async function contentsOf(folder: string, names: readonly string[]): Promise<Record<string, string>> {
  const entries = await Promise.all(
    names.map(async (name) => [name, (await readFile(join(folder, name))).toString('base64')] as const),
  );
  return Object.fromEntries(entries);
}

export async function removeFolder(folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true });
}
