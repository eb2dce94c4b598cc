/** Everything a demo plays on: the fleet's connection, the sessions it asks for, the watch on the server, the screen. */
import type { Fleet } from '../simulation/fleet.ts';
import { wantedSessions } from '../simulation/workload.ts';
import type { Terminal } from './command.ts';
import { DEMO_RATE, DEMO_STREAM, type Timeline } from './demo-plan.ts';
import type { Endpoint, ServerLink } from './endpoint.ts';
import { createFleetFeed, type FleetFeed } from './fleet-feed.ts';
import { watchFleet } from './fleet-watch.ts';
import { type LiveState, riskName } from './live-state.ts';
import { openScreen } from './screen.ts';
import { createSessionLoad, type SessionLoad } from './session-load.ts';

export interface Stage {
  readonly link: ServerLink;
  readonly feed: FleetFeed;
  readonly sessions: SessionLoad;
  /** Event time now: the start of all until whoever plays moves it into the shown part. */
  eventMs: number;
  /** From the start of the command to the first map, milliseconds; undefined before it. */
  readonly firstMapMs: number | undefined;
  /** Ends the watch, gives the terminal back and closes the connections. */
  close(): Promise<void>;
}

export interface StageOptions {
  readonly fleet: Fleet;
  readonly timeline: Timeline;
  readonly seed: number;
  readonly endpoint: Endpoint;
  readonly terminal: Terminal;
  /** When the command began, monotonic milliseconds. */
  readonly startedMs: number;
}

export async function openStage(options: StageOptions): Promise<Stage> {
  const { fleet, timeline, seed, endpoint, terminal, startedMs } = options;
  const { clock } = terminal;
  const over = new AbortController();
  const producer = await endpoint.produce();
  terminal.signal.addEventListener('abort', () => void producer.close(), { once: true });
  const link = endpoint.connect();
  const { clients } = link;
  const address = endpoint.grpcAddress();
  let eventMs = timeline.startMs;
  let firstMapMs: number | undefined;
  const tell = (text: string, { atMs = eventMs, minor = false } = {}) =>
    screen.tell(`${new Date(atMs).toISOString().slice(11, 19)}  ${text}`, minor);

  const feed = createFleetFeed(fleet, DEMO_STREAM, producer);
  const sessions = createSessionLoad({
    clients,
    wanted: wantedSessions({ seed, startMs: timeline.showStartMs }),
    run: `demo-${seed}`,
    onAnswer: (text) => tell(text, { minor: true }),
  });
  const watch = watchFleet({
    clients,
    stream: DEMO_STREAM,
    clock,
    signal: over.signal,
    onLevel(from, to, utilization, atMs) {
      const load = utilization?.toFixed(2) ?? 'unknown';
      tell(`defense level ${from} -> ${to}, utilization ${load}`, { atMs });
    },
    onRisk(from, to, atMs) {
      if (from.lookMs === undefined) return; // What the first look says is no change.
      tell(`phase risk ${riskName(from.severity)} -> ${riskName(to.severity)}`, { atMs });
    },
    onFirstMap: () => {
      firstMapMs = clock.monotonicMs() - startedMs;
      tell(`first map after ${(firstMapMs / 1_000).toFixed(1)} s`);
    },
  });
  const screen = openScreen(terminal, () => ({
    title: `homeostat demo: ${fleet.nodes.length} nodes, seed ${seed}, gRPC on ${address}`,
    ...progressOf(timeline, eventMs, watch.seen.judgedMs),
    ...watch.seen,
    telemetry: watch.seen.account,
    sessions: { ...sessions.counts, live: sessions.live },
  }));
  tell(`${fleet.nodes.length} nodes report to ${address}: history first, then ${DEMO_RATE}x`);

  return {
    link,
    feed,
    sessions,
    get eventMs() {
      return eventMs;
    },
    set eventMs(atMs) {
      eventMs = atMs;
    },
    get firstMapMs() {
      return firstMapMs;
    },
    async close() {
      over.abort();
      await watch.ended;
      screen.close();
      link.close();
      await producer.close();
    },
  };
}

const HOUR_MS = 3_600_000;

/** How far a demo is. History is only as far as the server has judged it, early warnings included. */
function progressOf(
  { startMs, showStartMs, endMs }: Timeline,
  eventMs: number,
  judgedMs = startMs,
): Pick<LiveState, 'part' | 'progress' | 'eventTimeMs'> {
  if (eventMs >= showStartMs)
    return {
      part: `${DEMO_RATE}x`,
      progress: (eventMs - showStartMs) / (endMs - showStartMs),
      eventTimeMs: eventMs,
    };
  const hours = (ms: number) => `${Math.floor(ms / HOUR_MS)} h`;
  return {
    part: `history ${hours(judgedMs - startMs)} of ${hours(showStartMs - startMs)}`,
    progress: (judgedMs - startMs) / (showStartMs - startMs),
    eventTimeMs: judgedMs,
  };
}
