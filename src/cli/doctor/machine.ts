/**
 * Checks of the machine and this process: the version of Node, memory, and how many files may be open. The limits are
 * those of the running server where there is one, else those a server started from here would get.
 */
import { readFile } from 'node:fs/promises';
import { totalmem } from 'node:os';
import { formatVersion, isAtLeast, parseVersion } from '../../bus/find-nats.ts';
import type { Config } from '../../config.ts';
import { type Finding, formatBytes, ok, problem, warning } from './finding.ts';

const MIB = 1024 ** 2;
/** What a server with its broker is comfortable with; under the other it is ended by the system sooner or later. */
const MEMORY_BYTES = 512 * MIB;
const MEMORY_BYTES_MIN = 256 * MIB;
/** Files a server has open besides its connections: database, log, broker, libraries. */
const OTHER_FILES = 256;

/** The package's own description, beside `src` and `dist` alike. */
const MANIFEST = new URL('../../../package.json', import.meta.url);

export async function checkMachine(): Promise<Finding[]> {
  const manifest = JSON.parse(await readFile(MANIFEST, 'utf8')) as { engines: { node: string } };
  const node = checkNode(process.versions.node, manifest.engines.node);
  if (node.severity !== 'OK') return [node]; // What follows may not be there in an older one.
  // Node tells 0 or more than there is where no limit is set.
  const limitBytes = process.constrainedMemory() || totalmem();
  return [node, checkMemory(Math.min(limitBytes, totalmem()), process.availableMemory())];
}

/** A version of Node against a range of the form `>=20.19.0`. */
export function checkNode(version: string, range: string): Finding {
  const check = 'machine.node';
  const have = parseVersion(version)!;
  const wanted = parseVersion(range)!;
  if (isAtLeast(have, wanted)) return ok(check, `Node ${version} is ${formatVersion(wanted)} or newer.`);
  return problem(
    check,
    `Node ${version} is older than ${formatVersion(wanted)}.`,
    `Install Node ${formatVersion(wanted)} or newer: https://nodejs.org/en/download`,
  );
}

/** Memory this process may use in all, and what is left of it, bytes. */
export function checkMemory(limitBytes: number, availableBytes: number): Finding {
  const check = 'machine.memory';
  const figures = `${formatBytes(availableBytes)} of ${formatBytes(limitBytes)} of memory are left`;
  if (limitBytes < MEMORY_BYTES_MIN || availableBytes < MEMORY_BYTES_MIN / 2) {
    const remedy = `Give the server ${formatBytes(MEMORY_BYTES)}: end other programs, or raise the limit of its container.`;
    return problem(check, `${figures}: too little for a server and its broker.`, remedy);
  }
  if (limitBytes < MEMORY_BYTES || availableBytes < MEMORY_BYTES_MIN) {
    const remedy = `Give the server ${formatBytes(MEMORY_BYTES)} or more, as its container's limit or by ending other programs.`;
    return warning(check, `${figures}: tight for a server and its broker.`, remedy);
  }
  return ok(check, `${figures}.`);
}

/** How many files a process may have open; nothing where the system does not tell. */
export async function checkOpenFiles(config: Config, serverPid: number | undefined): Promise<Finding[]> {
  const limits = await readFile(`/proc/${serverPid ?? 'self'}/limits`, 'utf8').catch(() => '');
  const limit = /^Max open files\s+(\d+)/m.exec(limits)?.[1];
  return limit === undefined ? [] : [judgeOpenFiles(Number(limit), config.RPC_CONNECTIONS_MAX)];
}

function judgeOpenFiles(limit: number, connectionsMax: number): Finding {
  const check = 'machine.files';
  const wanted = connectionsMax + OTHER_FILES;
  if (limit >= wanted)
    return ok(check, `${limit} files may be open; ${connectionsMax} connections need ${wanted}.`);
  return warning(
    check,
    `Only ${limit} files may be open; ${connectionsMax} connections need ${wanted}.`,
    `ulimit -n ${wanted}   # before the server is started; LimitNOFILE= in a systemd unit`,
  );
}
