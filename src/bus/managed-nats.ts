/**
 * The managed broker: a real nats-server child process on loopback, with JetStream in the data directory. It keeps
 * its port and its secrets for the life of the data directory, is restarted with back-off when it dies, and outlives a
 * crash of this process, to be adopted by the next one.
 *
 * Files below the data directory: `producer.url` (what producers get), `nats/server.url`, `nats/nats-server.conf`,
 * `nats/broker.json` (pid, port, digest of the configuration), `nats/nats-server.log`, `nats/jetstream/`.
 * A child process lives in real time, so the system's clock is used here whatever clock the server was given.
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { delay, systemClock, type Timer } from '../clock.ts';
import { describeError } from '../errors.ts';
import type { Logger } from '../observability.ts';
import { type Secrets, systemSecrets } from '../secrets.ts';
import { brokerConfig } from './broker-config.ts';
import { startError } from './errors.ts';
import { ensureNats, type FindNatsOptions, type NatsBinary, type Version } from './find-nats.ts';
import { freePort, portIsFree, serverNameAt } from './port.ts';
import { isBrokerOf } from './process-identity.ts';

/** How long JetStream may take to recover its files before the start counts as failed. */
const READY_TIMEOUT_MS = 60_000;
/** How long a broker may take to stop before it is killed. */
const STOP_TIMEOUT_MS = 10_000;
const POLL_MS = 10;
const WATCH_ADOPTED_MS = 250;
const RESTART_FIRST_MS = 50;
const RESTART_LAST_MS = 5_000;
/** A broker that ran this long has recovered: the next restart is quick again. */
const STABLE_MS = 10_000;

export interface ManagedNatsOptions extends FindNatsOptions {
  readonly dataDir: string;
  /** Port on loopback; by default a free one, chosen once and kept in the data directory. */
  readonly port?: number;
  /** Bytes JetStream may use on disk. */
  readonly fileBytesMax: number;
  /** Where the two secrets come from; default the system's generator. */
  readonly secrets?: Secrets;
  readonly logger: Logger;
}

export interface ManagedNats {
  /** With the server's secret: everything is allowed. */
  readonly serverUrl: string;
  /** With the producers' secret: telemetry and signals only. */
  readonly producerUrl: string;
  readonly port: number;
  readonly version: Version;
  /** Whether a running broker was taken over instead of started. */
  readonly adopted: boolean;
  /** Process id of the broker running now. */
  pid(): number;
  /** Times the broker died and was started again. */
  restarts(): number;
  /** Stops the broker and resolves once it is gone. */
  stop(): Promise<void>;
}

interface Files {
  readonly dir: string;
  readonly config: string;
  readonly state: string;
  readonly log: string;
  readonly serverUrl: string;
  readonly producerUrl: string;
}

/** What `broker.json` holds. */
interface BrokerState {
  readonly pid: number;
  readonly port: number;
  readonly name: string;
  readonly digest: string;
}

/** Starts or adopts the broker of a data directory. Throws the reasons of `startError`. */
export async function startManagedNats(options: ManagedNatsOptions): Promise<ManagedNats> {
  const { logger } = options;
  const binary = await ensureNats({
    ...options,
    onInstall: (how) => logger.info({ how }, 'nats-server not found, installing it'),
  });
  const files = prepareFiles(resolve(options.dataDir));
  const before = readState(files);

  const { bytes } = options.secrets ?? systemSecrets;
  const random = (count: number) => Buffer.from(bytes(count)).toString('hex');
  const serverSecret = secretIn(files.serverUrl) ?? random(24);
  const producerSecret = secretIn(files.producerUrl) ?? random(24);
  const name = before?.name ?? `homeostat-${random(8)}`;
  const settingsFor = (port: number) => ({
    name,
    port,
    version: binary.version,
    storeDir: files.dir,
    logFile: files.log,
    serverSecret,
    producerSecret,
    fileBytesMax: options.fileBytesMax,
  });
  const wantedPort = options.port ?? before?.port;
  const running = before && isBrokerOf(before.pid, files.config) ? before : undefined;
  const matches =
    running !== undefined &&
    wantedPort === running.port &&
    running.digest === digestOf(brokerConfig(settingsFor(running.port)), binary) &&
    (await serverNameAt(running.port)) === name;
  if (running && !matches) {
    logger.warn({ pid: running.pid }, 'stopping a broker of this data directory that has other settings');
    await stopProcess(running.pid, files.config);
  }

  const port = matches ? running.port : await choosePort(options.port, before?.port, logger);
  const config = brokerConfig(settingsFor(port));
  writePrivate(files.config, config);
  writePrivate(files.serverUrl, urlOf('server', serverSecret, port));
  writePrivate(files.producerUrl, urlOf('producer', producerSecret, port));
  const supervisor = new Supervisor(binary, files, { name, port, digest: digestOf(config, binary) }, logger);
  if (matches) supervisor.adopt(running.pid);
  else await supervisor.start();
  return {
    serverUrl: urlOf('server', serverSecret, port),
    producerUrl: urlOf('producer', producerSecret, port),
    port,
    version: binary.version,
    adopted: matches,
    pid: () => supervisor.pid,
    restarts: () => supervisor.restarts,
    stop: () => supervisor.stop(),
  };
}

/** Keeps one broker running: invariant, at most one process of this configuration is alive at any time. */
class Supervisor {
  pid = 0;
  restarts = 0;
  readonly #binary: NatsBinary;
  readonly #files: Files;
  readonly #identity: Pick<BrokerState, 'name' | 'port' | 'digest'>;
  readonly #logger: Logger;
  #stopping = false;
  #startedMs = 0;
  #backoffMs = RESTART_FIRST_MS;
  #watch: Timer | undefined;
  #restarting: Promise<void> | undefined;
  readonly #abort = new AbortController();

  constructor(
    binary: NatsBinary,
    files: Files,
    identity: Pick<BrokerState, 'name' | 'port' | 'digest'>,
    logger: Logger,
  ) {
    this.#binary = binary;
    this.#files = files;
    this.#identity = identity;
    this.#logger = logger;
  }

  /** Watches a broker that some earlier process started. */
  adopt(pid: number): void {
    this.#logger.info({ pid, port: this.#identity.port }, 'adopted the running broker');
    this.#running(pid);
    this.#watch = systemClock.every(WATCH_ADOPTED_MS, () => {
      if (isBrokerOf(pid, this.#files.config)) return;
      this.#watch?.cancel();
      this.#died('gone');
    });
  }

  /** Starts the broker and resolves once it accepts clients. */
  async start(): Promise<void> {
    const { config, log } = this.#files;
    // Its own session: a Ctrl-C in the terminal reaches this process only, which then stops the broker last.
    const child = spawn(this.#binary.command, ['-c', config], { detached: true, stdio: 'ignore' });
    child.unref();
    let failure: string | undefined;
    child.once('error', (error) => {
      failure = describeError(error);
    });
    child.once('exit', (code, signal) => {
      failure ??= `it ended with ${signal ?? `exit code ${code}`}`;
      if (child.pid !== undefined && this.pid === child.pid) this.#died(failure);
    });
    if (child.pid !== undefined) this.#write(child.pid);
    const deadlineMs = systemClock.monotonicMs() + READY_TIMEOUT_MS;
    while ((await serverNameAt(this.#identity.port)) !== this.#identity.name) {
      if (failure === undefined && systemClock.monotonicMs() > deadlineMs) {
        failure = `it is not ready after ${READY_TIMEOUT_MS / 1000} s`;
        child.kill('SIGKILL');
      }
      if (failure !== undefined)
        throw startError('BROKER_FAILED', { detail: lastFault(log) ?? failure, log });
      await delay(systemClock, POLL_MS, this.#abort.signal);
    }
    this.#running(child.pid!);
    this.#logger.info({ pid: child.pid, port: this.#identity.port }, 'started the broker');
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    this.#watch?.cancel();
    this.#abort.abort();
    await this.#restarting;
    await stopProcess(this.pid, this.#files.config);
    this.#write(0);
  }

  #running(pid: number): void {
    this.pid = pid;
    this.#startedMs = systemClock.monotonicMs();
    this.#write(pid);
  }

  #write(pid: number): void {
    const state: BrokerState = { pid, ...this.#identity };
    writePrivate(this.#files.state, `${JSON.stringify(state)}\n`);
  }

  #died(how: string): void {
    this.pid = 0;
    if (this.#stopping) return;
    if (systemClock.monotonicMs() - this.#startedMs > STABLE_MS) this.#backoffMs = RESTART_FIRST_MS;
    this.#logger.error({ how, retryMs: this.#backoffMs }, 'the broker died, starting it again');
    this.#restarting = this.#restart();
  }

  async #restart(): Promise<void> {
    while (!this.#stopping) {
      await delay(systemClock, this.#backoffMs, this.#abort.signal);
      this.#backoffMs = Math.min(this.#backoffMs * 2, RESTART_LAST_MS);
      if (this.#stopping) return;
      try {
        this.restarts++;
        await this.start();
        return;
      } catch (error) {
        this.#logger.error(
          { error: describeError(error), retryMs: this.#backoffMs },
          'the broker did not start',
        );
      }
    }
  }
}

/** Ends a broker of ours: politely, then by force. Any other process of that id is left alone. */
async function stopProcess(pid: number, configFile: string): Promise<void> {
  if (pid <= 0 || !isBrokerOf(pid, configFile)) return;
  process.kill(pid, 'SIGTERM');
  const deadlineMs = systemClock.monotonicMs() + STOP_TIMEOUT_MS;
  while (isBrokerOf(pid, configFile)) {
    if (systemClock.monotonicMs() > deadlineMs) process.kill(pid, 'SIGKILL');
    await delay(systemClock, POLL_MS);
  }
}

async function choosePort(
  fixed: number | undefined,
  kept: number | undefined,
  logger: Logger,
): Promise<number> {
  if (fixed !== undefined) {
    if (!(await portIsFree(fixed))) throw startError('BROKER_PORT_TAKEN', { port: fixed });
    return fixed;
  }
  if (kept !== undefined && (await portIsFree(kept))) return kept;
  const port = await freePort();
  if (kept !== undefined)
    logger.warn({ kept, port }, "the broker's port is taken by another program, using a new one");
  return port;
}

function prepareFiles(dataDir: string): Files {
  const dir = join(dataDir, 'nats');
  try {
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    closeSync(openSync(join(dir, 'nats-server.log'), 'a', 0o600));
  } catch (cause) {
    throw startError(
      'DATA_DIRECTORY_UNUSABLE',
      { directory: dataDir, detail: describeError(cause) },
      { cause },
    );
  }
  return {
    dir,
    config: join(dir, 'nats-server.conf'),
    state: join(dir, 'broker.json'),
    log: join(dir, 'nats-server.log'),
    serverUrl: join(dir, 'server.url'),
    producerUrl: join(dataDir, 'producer.url'),
  };
}

/** The secret in a URL file of an earlier start. */
function secretIn(file: string): string | undefined {
  if (!existsSync(file)) return undefined;
  return new URL(readFileSync(file, 'utf8').trim()).password || undefined;
}

function urlOf(user: string, secret: string, port: number): string {
  return `nats://${user}:${secret}@127.0.0.1:${port}`;
}

function readState(files: Files): BrokerState | undefined {
  if (!existsSync(files.state)) return undefined;
  try {
    return JSON.parse(readFileSync(files.state, 'utf8')) as BrokerState;
  } catch {
    return undefined; // Cut off by a crash: the broker it named cannot be told from a stranger's.
  }
}

/** Replaces a file that holds secrets, in one step. */
function writePrivate(file: string, text: string): void {
  const partial = `${file}.partial`;
  try {
    writeFileSync(partial, text, { mode: 0o600 });
    renameSync(partial, file);
  } catch (cause) {
    throw startError('DATA_DIRECTORY_UNUSABLE', { directory: file, detail: describeError(cause) }, { cause });
  }
}

function digestOf(config: string, binary: NatsBinary): string {
  return createHash('sha256')
    .update(`${binary.version.join('.')}\n${config}`)
    .digest('hex');
}

/** Text of the last fatal line of the broker's log. */
function lastFault(log: string): string | undefined {
  const lines = readFileSync(log, 'utf8').split('\n').slice(-20).reverse();
  return lines.map((line) => /\[FTL\] (.*)$/.exec(line)?.[1]).find((text) => text !== undefined);
}
