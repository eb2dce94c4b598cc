/**
 * Consumes the TELEMETRY stream: restores the fold from its checkpoint, feeds it every message beyond, and has it
 * committed at window close, each second, each 65,536 messages and each 256 KiB of closed windows. At most UNCOMMITTED_MAX messages are ahead of the
 * last commit; beyond that the broker is asked for no more. A fault of the fold itself abandons it and starts again
 * from the checkpoint, from which everything after it is decided as before.
 */
import type { Bus, RawAlarm, RawConsumer, RawMessage } from '../bus/bus.ts';
import { decodeToken } from '../bus/topics.ts';
import type { Clock, Timer } from '../clock.ts';
import { describeError } from '../errors.ts';
import type { Logger } from '../observability.ts';
import { restoreStream } from './fold/checkpoint.ts';
import { CommitLoop } from './fold/commit.ts';
import { TelemetryFold } from './fold/fold.ts';
import type { FoldSettings, StreamFold } from './fold/stream.ts';
import type { Place } from './message/route.ts';
import { SILENCE_NODE } from './silence.ts';
import type { TelemetryStore } from './store.ts';

export const TELEMETRY_DURABLE = 'telemetry-fold';

/** Messages after which a commit is wanted at once. */
const COMMIT_MESSAGES = 65_536;
/**
 * Summaries of closed windows after which a commit is wanted at once, bytes: what one writes and encodes in some ten
 * milliseconds. All windows of a stream go in one transaction, and a transaction holds the event loop.
 */
const COMMIT_CLOSED_BYTES = 256 * 1024;
/** Messages that may be ahead of the last commit; under the 262,144 the broker lets be unacknowledged. */
const UNCOMMITTED_MAX = 196_608;
/** Bytes of rejected messages, and closed windows, that may wait for a commit. */
const DEAD_LETTER_BYTES_MAX = 32 * 1024 * 1024;
const WINDOWS_WAITING_MAX = 4_096;

const RESTART_MS = 1_000;
const RESTART_MAX_MS = 30_000;
const RESTORE_PAGE = 64;

export interface IngestDeps {
  readonly settings: FoldSettings;
  readonly streamsMax: number;
  /** Longest time between two commits, milliseconds. */
  readonly commitIntervalMs: number;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly bus: Bus;
  readonly table: TelemetryStore;
}

/** One life of the fold, from a checkpoint to its end. */
interface Life {
  readonly fold: TelemetryFold;
  readonly loop: CommitLoop;
  consumer: RawConsumer | undefined;
  paused: boolean;
  over: boolean;
}

export class Ingest {
  /** Alarms of the broker's stream by kind, and restarts of the fold. */
  readonly alarms = new Map<RawAlarm['kind'] | 'FOLD_RESTARTED', number>();
  private readonly deps: IngestDeps;
  private life: Life | undefined;
  private ticks: Timer | undefined;
  private restart: Timer | undefined;
  private restartMs = RESTART_MS;

  constructor(deps: IngestDeps) {
    this.deps = deps;
  }

  /** Restores and begins to consume. */
  async start(): Promise<void> {
    await this.begin();
    this.ticks = this.deps.clock.every(this.deps.commitIntervalMs, () => this.tick());
  }

  /** Commits what was folded, if that succeeds at first try, and stops. */
  async stop(): Promise<void> {
    this.ticks?.cancel();
    this.restart?.cancel();
    const { life } = this;
    this.life = undefined;
    if (life !== undefined) await this.end(life, 'commit');
  }

  /** Why nothing can be taken in right now; empty while it can. */
  unavailable(): readonly string[] {
    if (this.life === undefined) return ['FAULTED'];
    if (!this.deps.bus.connected()) return ['BROKER_DOWN'];
    return this.life.loop.failing ? ['STORE_DOWN'] : [];
  }

  /** The fold as far as it came, committed or not; undefined while it is restored. */
  get fold(): TelemetryFold | undefined {
    return this.life?.fold;
  }

  /** Messages in the broker's stream not folded yet. */
  lag(): number {
    return this.life?.consumer?.lag() ?? 0;
  }

  /** Streams that have been folded up to the broker's end; none while messages of them may be unread. */
  caughtUp(): Iterable<StreamFold> {
    const { life } = this;
    return life?.consumer !== undefined && life.consumer.lag() === 0 ? life.fold.streams.values() : [];
  }

  /** Commits and failed attempts of the present life. */
  commitCounts(): { readonly commits: number; readonly failures: number } {
    return { commits: this.life?.loop.commits ?? 0, failures: this.life?.loop.failures ?? 0 };
  }

  /** Configures a stream from its next window on; resolves once that is committed. Older versions change nothing. */
  async configure(
    key: { domain: string; cluster: string },
    version: number,
    config: WindowConfig,
  ): Promise<void> {
    if (this.life === undefined) throw new Error('the fold of telemetry is not running');
    const { fold, loop } = this.life;
    const stream = fold.stream(key.domain, key.cluster);
    if (stream.configure(version, config.windowMs, config.latenessMs)) fold.touch(stream);
    if (stream.dirty) await loop.settled();
  }

  /** Resolves once everything folded so far is committed. */
  async settled(): Promise<void> {
    await this.life?.loop.settled();
  }

  private async begin(): Promise<void> {
    const { bus, table, clock, settings, streamsMax, commitIntervalMs } = this.deps;
    const fold = new TelemetryFold({ settings, streamsMax, placeOf });
    const position = await this.restore(fold);
    const target = {
      bury: bus.writeDeadLetters,
      write: table.commit,
      acknowledge: (sequence: number) => this.committed(life, sequence),
      failed: (error: unknown, retryMs: number) =>
        this.deps.logger.error({ error: describeError(error), retryMs }, 'telemetry cannot be committed yet'),
    };
    const loop = new CommitLoop(fold, position, { target, clock, pauseMaxMs: commitIntervalMs });
    const life: Life = { fold, loop, consumer: undefined, paused: false, over: false };
    this.life = life;
    life.consumer = await bus.consumeTelemetry({
      durable: TELEMETRY_DURABLE,
      startSequence: position.sequence + 1,
      onMessage: (message) => this.take(life, message),
      onAlarm: (alarm) => this.alarm(life, alarm),
    });
    if (life.paused) life.consumer.pause();
  }

  private async restore(fold: TelemetryFold) {
    const { table, settings } = this.deps;
    const position = await table.position();
    let from = { domain: '', cluster: '' };
    for (;;) {
      const page = await table.checkpoints(from, RESTORE_PAGE);
      for (const stored of page) {
        const stream = restoreStream(stored, settings);
        const isCurrent = stored.generation === position.generation;
        stream.appliedSequence = isCurrent ? stored.sequence : 0;
        const { floorMinute } = stream.content;
        for (const { minute, hashes } of await table.content(stored, floorMinute))
          stream.content.restore(minute, hashes);
        fold.addStream(stream);
      }
      const last = page.at(-1);
      if (last === undefined || page.length < RESTORE_PAGE) break;
      from = { domain: last.domain, cluster: `${last.cluster}\u0001` };
    }
    fold.lastSequence = position.sequence;
    return position;
  }

  private take(life: Life, message: RawMessage): void {
    if (life.over) return;
    const { fold, loop } = life;
    try {
      fold.take(message);
    } catch (error) {
      this.fault(life, error, message.sequence);
      return;
    }
    if (fold.windowsClosed > 0) loop.request();
    if (fold.lastSequence - loop.taken >= COMMIT_MESSAGES || fold.closedBytes >= COMMIT_CLOSED_BYTES)
      loop.request(true);
    if (
      fold.lastSequence - loop.committed.sequence < UNCOMMITTED_MAX &&
      fold.deadLetterBytes < DEAD_LETTER_BYTES_MAX &&
      fold.windowsClosed < WINDOWS_WAITING_MAX
    )
      return;
    loop.request(true);
    if (!life.paused) life.consumer?.pause();
    life.paused = true;
  }

  private committed(life: Life, sequence: number): void {
    this.restartMs = RESTART_MS;
    life.consumer?.acknowledge(sequence);
    if (!life.paused) return;
    life.paused = false;
    life.consumer?.resume();
  }

  private tick(): void {
    this.life?.loop.request();
  }

  private alarm(life: Life, { kind, sequence }: RawAlarm): void {
    this.count(kind);
    this.deps.logger.error({ kind, sequence }, 'telemetry goes on from another place in the broker');
    if (kind !== 'CONSUMER_STALLED' && !life.over) life.loop.rebase(sequence);
  }

  private count(kind: RawAlarm['kind'] | 'FOLD_RESTARTED'): void {
    this.alarms.set(kind, (this.alarms.get(kind) ?? 0) + 1);
  }

  /** The fold cannot be trusted any more: begins again from the checkpoint. */
  private fault(life: Life, error: unknown, sequence: number): void {
    this.count('FOLD_RESTARTED');
    const { logger, clock } = this.deps;
    const retryMs = this.restartMs;
    this.restartMs = Math.min(RESTART_MAX_MS, retryMs * 2);
    logger.error({ err: error, sequence, retryMs }, 'the fold of telemetry failed and starts again');
    this.life = undefined;
    void this.end(life).then(() => {
      this.restart = clock.after(retryMs, () => void this.beginAgain(), true);
    });
  }

  private async beginAgain(): Promise<void> {
    try {
      await this.begin();
    } catch (error) {
      const { logger, clock } = this.deps;
      this.life = undefined;
      logger.error({ error: describeError(error), retryMs: this.restartMs }, 'the fold cannot start yet');
      this.restart = clock.after(this.restartMs, () => void this.beginAgain(), true);
    }
  }

  private async end(life: Life, last?: 'commit'): Promise<void> {
    life.over = true;
    if (last === undefined) await life.consumer?.stop();
    await life.loop.stop(last);
    if (last !== undefined) await life.consumer?.stop();
  }
}

export interface WindowConfig {
  readonly windowMs: number;
  readonly latenessMs: number;
}

/** What a telemetry subject names: `homeostat.telemetry.v1.<domain>.<cluster>.<node>`. */
export function placeOf(subject: string): Place {
  const [, , , domain = '', cluster = '', token = ''] = subject.split('.');
  const nothing = { domain: '', cluster: '', node: '', silence: false };
  if (!isStreamToken(domain) || !isStreamToken(cluster))
    return { ...nothing, fault: 'its subject names no stream' };
  const node = decodeToken(token);
  const silence = node === SILENCE_NODE;
  if (node === undefined || !/^[A-Za-z0-9._-]{1,64}$/.test(node))
    return { domain, cluster, node: '', fault: 'its subject names no node', silence };
  return { domain, cluster, node, fault: '', silence: false };
}

function isStreamToken(token: string): boolean {
  return /^[A-Za-z0-9_-]{1,64}$/.test(token);
}
