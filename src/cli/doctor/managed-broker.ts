/**
 * Checks of the managed broker as a program and a process: whether a nats-server is at hand, and whether the one of this
 * data directory runs when it should, and does not when it should not. Nothing is started, stopped or installed.
 */
import { existsSync, readFileSync } from 'node:fs';
import { type BrokerFiles, brokerFilesIn, lastFault, readBrokerState } from '../../bus/broker-files.ts';
import { formatVersion, type NatsBinary, OLDEST_NATS, type Version } from '../../bus/find-nats.ts';
import { portIsFree } from '../../bus/port.ts';
import { isBrokerOf } from '../../bus/process-identity.ts';
import { type Finding, ok, problem, warning } from './finding.ts';
import { quoted, whoListens } from './remedy.ts';
import type { ServerState } from './server-state.ts';

export interface ManagedProcess {
  /** Undefined while none runs. */
  readonly pid: number | undefined;
  /** URL with the server's secret; undefined when it cannot be read. */
  readonly url: string | undefined;
  readonly finding: Finding;
}

/** The broker of a data directory, which must be an absolute path: brokers are known by the path of their settings. */
export async function checkProcess(dataDir: string, server: ServerState): Promise<ManagedProcess> {
  const files = brokerFilesIn(dataDir);
  const left = readBrokerState(files);
  if (left && isBrokerOf(left.pid, files.config)) {
    const { pid } = left;
    return { pid, url: readUrl(files.serverUrl), finding: judgeRunning(pid, server) };
  }
  return { pid: undefined, url: undefined, finding: await judgeEnded(files, left?.port, server) };
}

export function checkProgram(binary: NatsBinary | undefined): Finding {
  const check = 'broker.program';
  if (binary) {
    const place = binary.command.includes('/') ? binary.command : 'on the PATH';
    return ok(check, `nats-server ${formatVersion(binary.version)} is ${place}.`);
  }
  const install = process.platform === 'darwin' ? 'brew' : 'sudo apt-get';
  return problem(
    check,
    `No nats-server ${formatVersion(OLDEST_NATS)} or newer was found, and HOMEOSTAT_NATS_URL names no broker.`,
    `${install} install nats-server   # the first start tries this too; or set HOMEOSTAT_NATS_URL`,
  );
}

/** A broker is started again when its version is no longer that of the program. */
export function checkReplaced(running: Version, binary: NatsBinary | undefined): Finding[] {
  if (!binary || formatVersion(running) === formatVersion(binary.version)) return [];
  const found = `nats-server ${formatVersion(binary.version)} is installed while ${formatVersion(running)} runs on.`;
  return [
    warning('broker.replaced', found, 'Start the server again: it replaces the broker by the installed one.'),
  ];
}

function judgeRunning(pid: number, server: ServerState): Finding {
  const check = 'broker.process';
  if (server.running) return ok(check, `The managed nats-server runs with pid ${pid}.`);
  return warning(
    check,
    `A nats-server without its server runs on, with pid ${pid}.`,
    `homeostat serve   # takes it over; or, to end it: kill ${pid}`,
  );
}

async function judgeEnded(
  files: BrokerFiles,
  port: number | undefined,
  server: ServerState,
): Promise<Finding> {
  const check = 'broker.process';
  if (server.running) {
    const fault = existsSync(files.log) ? lastFault(files) : undefined;
    const found = `The managed nats-server does not run, though the server does${fault ? `: ${fault}` : ''}.`;
    return problem(check, found, `tail -n 20 ${quoted(files.log)}   # says why; the server starts it again`);
  }
  if (port === undefined && existsSync(files.state))
    return warning(
      check,
      `${files.state} cannot be read, so a broker that a crash left running cannot be told from a stranger's.`,
      `pgrep -af ${quoted(files.config)}   # kill what it names, then homeostat serve`,
    );
  if (port !== undefined && !(await portIsFree(port)))
    return warning(
      check,
      `Port ${port} of the managed broker is taken: it will get another, and producer.url changes.`,
      `${whoListens(port)}   # end that program to keep the port`,
    );
  return ok(check, 'The managed broker starts and ends with the server, and does not run now.');
}

function readUrl(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch {
    return undefined; // Missing, or another user's: whoever asked says so.
  }
}
