/** One demo on a running server, from the history of its fleet to the account of what became of everything. */
import { timestampMs } from '@bufbuild/protobuf/wkt';
import { delay } from '../clock.ts';
import type { GetIngestReportResponse } from '../gen/homeostat/telemetry/v1/telemetry_service_pb.ts';
import { crisisDemand } from '../simulation/demand.ts';
import { createFleet } from '../simulation/fleet.ts';
import type { Terminal } from './command.ts';
import { DEMO_RATE, DEMO_STREAM, type DemoOptions, planTimeline, type Timeline } from './demo-plan.ts';
import { openStage, type Stage } from './demo-stage.ts';
import { type Warning, warningOf } from './demo-warning.ts';
import type { Endpoint } from './endpoint.ts';
import { CliFailure } from './failure.ts';
import { changesWithin, defenseLog, type LevelChange } from './report.ts';
import type { SessionCounts } from './session-load.ts';
import { untilFolded, untilJudged, untilMapped } from './settling.ts';
import { type Account, accountOf } from './stream-account.ts';

const TICK_MS = 20;
const SESSION_TICK_MS = 50;
/** Event time of history handed over between two turns of the event loop, which the server shares. */
const HISTORY_PIECE_MS = 5 * 60_000;
/** Width of a window where a stream sets none. */
const WINDOW_MS = 10_000;

export interface DemoResult extends Warning {
  readonly nodes: number;
  readonly seed: number;
  readonly eventTime: { readonly start: string; readonly end: string };
  /** Samples. */
  readonly telemetry: Account;
  /** Samples that the broker acknowledged to the fleet. */
  readonly acknowledged: number;
  readonly maps: number;
  /** From the start of the command to the first map, milliseconds; 0 when there was none. */
  readonly firstMapMs: number;
  readonly defenseLevelMax: number;
  /** Changes of the fleet's level, oldest first. */
  readonly levelChanges: readonly LevelChange[];
  readonly sessions: SessionCounts;
}

/** Runs a demo from history to result. `startedMs` is when the command began, monotonic. */
export async function runDemo(
  options: DemoOptions,
  endpoint: Endpoint,
  terminal: Terminal,
  startedMs: number,
): Promise<DemoResult> {
  const nowMs = terminal.clock.nowMs();
  const timeline = planTimeline(nowMs, options.showMs);
  const fleet = createFleet({
    ...options,
    ...DEMO_STREAM,
    startMs: timeline.startMs,
    demand: crisisDemand({
      startMs: timeline.startMs,
      fromMs: timeline.showStartMs,
      toMs: timeline.endMs,
    }),
    historyUntilMs: timeline.showStartMs,
    epoch: Math.floor(nowMs / 1_000),
  });
  const stage = await openStage({ fleet, timeline, seed: options.seed, endpoint, terminal, startedMs });
  try {
    await feedHistory(stage, timeline, terminal);
    await settle(stage, terminal);
    await follow(stage, terminal);
    await play(stage, timeline, options.showMs, terminal);
    await settle(stage, terminal);
    const { nodes, seed } = options;
    return { nodes, seed, ...(await account(stage, timeline, terminal)) };
  } finally {
    await stage.close();
  }
}

/** Hands the history over as fast as the broker takes it. */
async function feedHistory(
  { feed }: Stage,
  { startMs, showStartMs }: Timeline,
  { clock, signal }: Terminal,
): Promise<void> {
  for (let atMs = startMs; atMs < showStartMs && !signal.aborted; ) {
    atMs = Math.min(showStartMs, atMs + HISTORY_PIECE_MS);
    await feed.feedUntil(atMs);
    await delay(clock, 0, signal);
  }
}

/** Waits for the broker; an interruption has closed the connection to it. */
async function settle({ feed }: Stage, { signal }: Terminal): Promise<void> {
  try {
    await feed.settled();
  } catch (error) {
    if (!signal.aborted) throw error;
  }
  if (signal.aborted) throw new CliFailure(1, 'interrupted');
}

/** Moves event time on with the clock: the fleet reports and sessions are asked for until the shown part is over. */
async function play(
  stage: Stage,
  timeline: Timeline,
  showMs: number,
  { clock, signal }: Terminal,
): Promise<void> {
  const beganMs = clock.monotonicMs();
  const over = new AbortController();
  const report = async () => {
    while (!over.signal.aborted) {
      const elapsedMs = Math.min(showMs, clock.monotonicMs() - beganMs);
      stage.eventMs = timeline.showStartMs + elapsedMs * DEMO_RATE;
      await stage.feed.feedUntil(stage.eventMs);
      if (elapsedMs >= showMs) return;
      if (signal.aborted) throw new CliFailure(1, 'interrupted');
      await delay(clock, TICK_MS, signal);
    }
  };
  const ask = async () => {
    while (!over.signal.aborted) {
      await stage.sessions.advance(stage.eventMs);
      await delay(clock, SESSION_TICK_MS, over.signal);
    }
  };
  // Whichever ends first, in good or in bad, ends the other.
  await Promise.all([report, ask].map((part) => part().finally(() => over.abort())));
}

/** Waits until the server has judged all telemetry, and mapped and looked at every window it closed. */
async function follow({ link, feed }: Stage, { clock, signal }: Terminal): Promise<GetIngestReportResponse> {
  const settling = { link, stream: DEMO_STREAM, clock, signal };
  const report = await untilFolded(settling, feed.lastSequence);
  // The windows still open make no map yet: the last closed one ends within a window of the watermark.
  if (report.watermark) {
    const newestMs = timestampMs(report.watermark) - WINDOW_MS;
    await untilMapped(settling, newestMs);
    await untilJudged(settling, newestMs);
  }
  return report;
}

/** Waits until the server has followed, then asks it what became of everything. */
async function account(
  stage: Stage,
  timeline: Timeline,
  terminal: Terminal,
): Promise<Omit<DemoResult, 'nodes' | 'seed'>> {
  const report = await follow(stage, terminal);
  const { clients } = stage.link;
  const { mapCount } = await clients.energy.getStream({ stream: DEMO_STREAM });
  const log = await defenseLog(clients, undefined);
  const changes = changesWithin(log, timeline.startMs, Number.POSITIVE_INFINITY);
  return {
    eventTime: {
      start: new Date(timeline.startMs).toISOString(),
      end: new Date(timeline.endMs).toISOString(),
    },
    telemetry: accountOf(report.samples),
    acknowledged: stage.feed.samples,
    maps: Number(mapCount),
    firstMapMs: Math.round(stage.firstMapMs ?? 0),
    defenseLevelMax: Math.max(1, ...changes.map(({ to }) => to)),
    levelChanges: changes,
    ...(await warningOf(clients, DEMO_STREAM, log)),
    sessions: stage.sessions.counts,
  };
}
