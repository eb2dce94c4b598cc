/**
 * Keeps one nats-server process running: started or adopted, watched, started again with back-off when it dies. A
 * process lives in real time, so the system's clock is used here whatever clock the server was given.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { delay, systemClock, type Timer } from '../clock.ts';
import { describeError } from '../errors.ts';
import type { Logger } from '../observability.ts';
import { type BrokerFiles, type BrokerState, lastFault, writePrivate } from './broker-files.ts';
import { startError } from './errors.ts';
import { serverNameAt } from './port.ts';
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

/** What stays the same from one process to the next. */
export type BrokerIdentity = Omit<BrokerState, 'pid'>;

/** Invariant: at most one process of this configuration is alive at any time, and `broker.json` names it. */
export class BrokerSupervisor {
  readonly #command: string;
  readonly #files: BrokerFiles;
  readonly #identity: BrokerIdentity;
  readonly #logger: Logger;
  readonly #stopping = new AbortController();
  #pid = 0;
  #restarts = 0;
  #startedMs = 0;
  #backoffMs = RESTART_FIRST_MS;
  #watch: Timer | undefined;
  #restarting: Promise<void> | undefined;

  constructor(command: string, files: BrokerFiles, identity: BrokerIdentity, logger: Logger) {
    this.#command = command;
    this.#files = files;
    this.#identity = identity;
    this.#logger = logger;
  }

  /** Process that accepts clients now; 0 while none does. */
  get pid(): number {
    return this.#pid;
  }

  /** Times the broker died and was started again. */
  get restarts(): number {
    return this.#restarts;
  }

  /** Watches a broker that some earlier process started. */
  adopt(pid: number): void {
    this.#logger.info({ pid, port: this.#identity.port }, 'adopted the running broker');
    this.#runs(pid);
    this.#watch = systemClock.every(WATCH_ADOPTED_MS, () => {
      if (isBrokerOf(pid, this.#files.config)) return;
      this.#watch?.cancel();
      this.#died('it is gone');
    });
  }

  /** Starts the broker and resolves once it accepts clients. Throws BROKER_FAILED with what it said itself. */
  async start(): Promise<void> {
    const { config, log } = this.#files;
    // Its own session: a Ctrl-C in the terminal reaches this process only, which then stops the broker last.
    const child = spawn(this.#command, ['-c', config], { detached: true, stdio: 'ignore' });
    child.unref();
    let failure: string | undefined;
    child.once('error', (error) => {
      failure = describeError(error);
    });
    child.once('exit', (code, signal) => {
      failure ??= `it ended with ${signal ?? `exit code ${code}`}`;
      if (this.#pid === child.pid) this.#died(failure);
    });
    if (child.pid !== undefined) this.#recordOrKill(child);
    const deadlineMs = systemClock.monotonicMs() + READY_TIMEOUT_MS;
    for (;;) {
      const answers = (await serverNameAt(this.#identity.port)) === this.#identity.name;
      if (!answers && failure === undefined && systemClock.monotonicMs() > deadlineMs) {
        failure = `it is not ready after ${READY_TIMEOUT_MS / 1_000} s`;
        child.kill('SIGKILL');
      }
      if (failure !== undefined)
        throw startError('BROKER_FAILED', { detail: lastFault(this.#files) ?? failure, log });
      if (answers) break;
      await delay(systemClock, POLL_MS);
    }
    this.#runs(child.pid!);
    this.#logger.info({ pid: child.pid, port: this.#identity.port }, 'started the broker');
  }

  /** Ends the running process at once, so that it is started again. */
  kill(): void {
    if (this.#pid > 0 && isBrokerOf(this.#pid, this.#files.config)) process.kill(this.#pid, 'SIGKILL');
  }

  /** Stops the broker and resolves once it is gone. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#watch?.cancel();
    await this.#restarting;
    await stopBroker(this.#pid, this.#files);
    this.#record(0);
  }

  #runs(pid: number): void {
    this.#pid = pid;
    this.#startedMs = systemClock.monotonicMs();
    this.#record(pid);
  }

  /** A broker that is not written down could neither be adopted nor stopped by the next server. */
  #recordOrKill(child: ChildProcess): void {
    try {
      this.#record(child.pid!);
    } catch (error) {
      child.kill('SIGKILL');
      throw error;
    }
  }

  #record(pid: number): void {
    writePrivate(this.#files.state, `${JSON.stringify({ pid, ...this.#identity })}\n`);
  }

  #died(how: string): void {
    this.#pid = 0;
    if (this.#stopping.signal.aborted) return;
    if (systemClock.monotonicMs() - this.#startedMs > STABLE_MS) this.#backoffMs = RESTART_FIRST_MS;
    this.#logger.error({ how, retryMs: this.#backoffMs }, 'the broker died, starting it again');
    this.#restarting = this.#restart();
  }

  async #restart(): Promise<void> {
    const { signal } = this.#stopping;
    for (;;) {
      await delay(systemClock, this.#backoffMs, signal);
      if (signal.aborted) return;
      this.#backoffMs = Math.min(this.#backoffMs * 2, RESTART_LAST_MS);
      this.#restarts++;
      try {
        await this.start();
        return;
      } catch (error) {
        const retryMs = this.#backoffMs;
        this.#logger.error({ error: describeError(error), retryMs }, 'the broker did not start');
      }
    }
  }
}

/** Ends a broker of ours: politely, then by force. Any other process of that id is left alone. */
export async function stopBroker(pid: number, files: BrokerFiles): Promise<void> {
  if (pid <= 0 || !isBrokerOf(pid, files.config)) return;
  process.kill(pid, 'SIGTERM');
  const deadlineMs = systemClock.monotonicMs() + STOP_TIMEOUT_MS;
  while (isBrokerOf(pid, files.config)) {
    if (systemClock.monotonicMs() > deadlineMs) process.kill(pid, 'SIGKILL');
    await delay(systemClock, POLL_MS);
  }
}
