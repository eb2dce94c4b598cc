/**
 * The data directory: made private, proven writable, and held by one server at a time. `server.json` in it says who
 * holds it and where that server listens; it is how `replay --to` and operators find a running server.
 */
import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { AppError } from './errors.ts';

/** What `server.json` says. Addresses are empty until the server listens. */
export interface ServerRecord {
  readonly pid: number;
  /** Start of the process in clock ticks since boot, where the system tells; a reused pid has another. */
  readonly startTicks: string;
  readonly grpcAddress: string;
  readonly httpAddress: string;
}

export interface DataDir {
  /** Absolute or relative path as configured. */
  readonly path: string;
  /** Publishes where the server listens. */
  announce(addresses: { readonly grpcAddress: string; readonly httpAddress: string }): void;
  /** Gives the directory up. */
  release(): void;
}

const RECORD = 'server.json';
const PROBE_BYTES = 256 * 1024;

/** Why a data directory cannot be used: one sentence for the operator. */
function unusable(path: string, why: string, cause?: unknown): AppError {
  const message = `the data directory ${path} ${why}`;
  return new AppError(
    { domain: 'homeostat.edge', reason: 'DATA_DIR', kind: 'FAILED_PRECONDITION', message },
    {},
    { cause },
  );
}

/** The sentence for a file system error. */
function explain(path: string, error: unknown): AppError {
  const code = (error as NodeJS.ErrnoException).code;
  if (code === 'EROFS' || code === 'EACCES' || code === 'EPERM')
    return unusable(path, 'is read-only: give it write permission or set HOMEOSTAT_DATA_DIR', error);
  if (code === 'ENOSPC' || code === 'EDQUOT')
    return unusable(path, 'is full: free some space or set HOMEOSTAT_DATA_DIR', error);
  if (code === 'EEXIST' || code === 'ENOTDIR') return unusable(path, 'is not a folder', error);
  return unusable(path, `cannot be used (${code ?? String(error)})`, error);
}

/** Writes a file durably. */
function writeDurably(file: string, bytes: Uint8Array): void {
  const descriptor = openSync(file, 'w', 0o600);
  try {
    for (let written = 0; written < bytes.length; ) written += writeSync(descriptor, bytes, written);
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

/** Start of a process in ticks since boot; empty where the system does not tell; undefined when there is none. */
function startTicks(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '';
  } catch {
    // No /proc, or no such process: ask with a signal that does nothing.
    try {
      process.kill(pid, 0);
      return '';
    } catch (error) {
      return (error as NodeJS.ErrnoException).code === 'EPERM' ? '' : undefined;
    }
  }
}

/** The record of a data directory; undefined when there is none that can be read. */
export function readServerRecord(path: string): ServerRecord | undefined {
  try {
    return JSON.parse(readFileSync(join(path, RECORD), 'utf8')) as ServerRecord;
  } catch {
    return undefined; // Absent, or torn by a crash while it was written: nobody is known to hold the directory.
  }
}

/** The record of the server that holds a data directory now; undefined when nobody does. */
export function runningServer(path: string): ServerRecord | undefined {
  const record = readServerRecord(path);
  if (!record || record.pid === process.pid) return undefined;
  return startTicks(record.pid) === record.startTicks ? record : undefined;
}

/** Makes the directory where needed and takes it. Throws AppError with one sentence when it cannot be used. */
export function claimDataDir(path: string): DataDir {
  const file = join(path, RECORD);
  const publish = (record: ServerRecord) => {
    writeDurably(`${file}.new`, Buffer.from(`${JSON.stringify(record)}\n`));
    renameSync(`${file}.new`, file);
  };
  const holder = { pid: process.pid, startTicks: startTicks(process.pid) ?? '' };
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
    const probe = join(path, `probe-${process.pid}`);
    try {
      writeDurably(probe, new Uint8Array(PROBE_BYTES));
    } finally {
      rmSync(probe, { force: true });
    }
    const other = runningServer(path);
    if (other) throw unusable(path, `is in use by the server with pid ${other.pid}`);
    publish({ ...holder, grpcAddress: '', httpAddress: '' });
  } catch (error) {
    throw error instanceof AppError ? error : explain(path, error);
  }
  return {
    path,
    announce: (addresses) => publish({ ...holder, ...addresses }),
    release: () => rmSync(file, { force: true }),
  };
}
