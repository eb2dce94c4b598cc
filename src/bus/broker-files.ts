/**
 * The managed broker's files below the data directory. All that hold a secret have mode 0600 and are replaced in one
 * step, so that a crash leaves the old text or the new one.
 */
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describeError } from '../errors.ts';
import { startError } from './errors.ts';

export interface BrokerFiles {
  /** Where JetStream keeps its files. */
  readonly storeDir: string;
  readonly config: string;
  readonly state: string;
  readonly log: string;
  /** URL with the server's secret. */
  readonly serverUrl: string;
  /** URL with the producers' secret: what producers get. */
  readonly producerUrl: string;
}

/** What `broker.json` holds. */
export interface BrokerState {
  /** 0 while none runs. */
  readonly pid: number;
  readonly port: number;
  /** Name the broker introduces itself with. */
  readonly name: string;
  /** SHA-256 of its version and configuration. */
  readonly digest: string;
}

/** Where the files of a data directory are, whether they exist or not. */
export function brokerFilesIn(dataDir: string): BrokerFiles {
  const storeDir = join(dataDir, 'nats');
  return {
    storeDir,
    log: join(storeDir, 'nats-server.log'),
    config: join(storeDir, 'nats-server.conf'),
    state: join(storeDir, 'broker.json'),
    serverUrl: join(storeDir, 'server.url'),
    producerUrl: join(dataDir, 'producer.url'),
  };
}

/** Makes the directory and proves that it can be written. Throws DATA_DIRECTORY_UNUSABLE. */
export function prepareBrokerFiles(dataDir: string): BrokerFiles {
  const files = brokerFilesIn(dataDir);
  try {
    mkdirSync(files.storeDir, { recursive: true, mode: 0o700 });
    closeSync(openSync(files.log, 'a', 0o600));
  } catch (cause) {
    throw unusable(dataDir, cause);
  }
  return files;
}

/** Replaces a file that only its owner may read. Throws DATA_DIRECTORY_UNUSABLE. */
export function writePrivate(file: string, text: string): void {
  const partial = `${file}.partial`;
  try {
    writeFileSync(partial, text, { mode: 0o600 });
    renameSync(partial, file);
  } catch (cause) {
    throw unusable(file, cause);
  }
}

/** What the last broker left; undefined when there was none. */
export function readBrokerState(files: BrokerFiles): BrokerState | undefined {
  if (!existsSync(files.state)) return undefined;
  try {
    return JSON.parse(readFileSync(files.state, 'utf8')) as BrokerState;
  } catch {
    return undefined; // Written by something else: the broker it meant cannot be told from a stranger's.
  }
}

/** The secret in a URL file of an earlier start. */
export function readSecret(file: string): string | undefined {
  if (!existsSync(file)) return undefined;
  const text = readFileSync(file, 'utf8').trim();
  return URL.canParse(text) ? new URL(text).password || undefined : undefined;
}

/** Text of the last fatal line of the broker's log. */
export function lastFault(files: BrokerFiles): string | undefined {
  const lines = readFileSync(files.log, 'utf8').split('\n').slice(-20).reverse();
  return lines.map((line) => /\[FTL\] (.*)$/.exec(line)?.[1]).find((text) => text !== undefined);
}

function unusable(directory: string, cause: unknown) {
  return startError('DATA_DIRECTORY_UNUSABLE', { directory, detail: describeError(cause) }, { cause });
}
