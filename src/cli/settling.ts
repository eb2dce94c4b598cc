/**
 * Waiting until a server has done everything that follows from telemetry handed in: judged it, made its maps, looked
 * at its load. Waiting goes on as long as there is progress; a server that is away or busy for a while is waited for
 * too.
 */
import { timestampMs } from '@bufbuild/protobuf/wkt';
import { RpcError } from '../client/client.ts';
import { type Clock, delay } from '../clock.ts';
import type { CellHealth } from '../gen/homeostat/resilience/v1/resilience_service_pb.ts';
import type { GetIngestReportResponse } from '../gen/homeostat/telemetry/v1/telemetry_service_pb.ts';
import type { ServerLink } from './endpoint.ts';
import { CliFailure } from './failure.ts';
import { ingestReport, type StreamName } from './stream-account.ts';

const POLL_MS = 50;
/** Time without any progress after which waiting is given up; of a server that is busy nobody knows whether it makes any. */
const STUCK_MS = 60_000;
const BUSY_MS = 600_000;
/** Time without news after which a stream whose last window left no trace counts as followed. */
const QUIET_MS = 3_000;

export interface Settling {
  readonly link: ServerLink;
  readonly stream: StreamName;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/** What one look found: the awaited thing, or how far it is, and what stands for the thing where no more may come. */
type Look<Result> =
  | { readonly found: Result }
  | { readonly progress: string; readonly quiet?: { readonly found: Result } };

const FOUND = { found: undefined } as const;
const BUSY = 'busy';

/** Repeats `look` until it finds, or until nothing has changed for 3 s and quiet is an answer. */
async function until<Result>(
  { link, clock, signal }: Settling,
  what: string,
  look: () => Promise<Look<Result>>,
): Promise<Result> {
  let progress = '';
  let changedMs = clock.monotonicMs();
  for (;;) {
    const seen = await look().catch((error: unknown): Look<Result> => {
      if (!(error instanceof RpcError)) throw error;
      if (error.reason === 'OVERLOADED') return { progress: BUSY }; // As while it makes up for what it missed.
      if (error.code !== 'UNAVAILABLE') throw error;
      link.refresh();
      return { progress: 'away' };
    });
    if ('found' in seen) return seen.found;
    if (signal.aborted) throw new CliFailure(1, `interrupted while waiting for ${what}`);
    const nowMs = clock.monotonicMs();
    if (seen.progress !== progress) changedMs = nowMs;
    progress = seen.progress;
    if (seen.quiet && nowMs - changedMs > QUIET_MS) return seen.quiet.found;
    if (nowMs - changedMs > (progress === BUSY ? BUSY_MS : STUCK_MS))
      throw new CliFailure(
        1,
        `nothing happened for ${progress === BUSY ? 'ten minutes' : 'a minute'} while waiting for ${what}`,
      );
    await delay(clock, POLL_MS, signal);
  }
}

/** Resolves with the report once the server has judged everything up to a place in the broker's stream. */
export function untilFolded(settling: Settling, sequence: number): Promise<GetIngestReportResponse> {
  return until(settling, 'the telemetry to be judged', async () => {
    const report = await ingestReport(settling.link.clients, settling.stream);
    const place = Number(report?.brokerSequence ?? 0n);
    return report && place >= sequence ? { found: report } : { progress: String(place) };
  });
}

/** Resolves once the latest map covers an event time. */
export function untilMapped(settling: Settling, newestMs: number): Promise<void> {
  const look = async (): Promise<Look<void>> => {
    const endMs = await latestMapEndMs(settling);
    return endMs > newestMs ? FOUND : { progress: String(endMs), quiet: FOUND };
  };
  return until(settling, 'the maps', look);
}

async function latestMapEndMs({ link, stream }: Settling): Promise<number> {
  try {
    const { map } = await link.clients.energy.getMap({ stream });
    return map?.end ? timestampMs(map.end) : 0;
  } catch (error) {
    if (error instanceof RpcError && error.code === 'NOT_FOUND') return 0;
    throw error;
  }
}

/** Resolves once resilience has seen the end of the stream. */
export function untilLookedAt(settling: Settling): Promise<void> {
  const look = async (): Promise<Look<void>> => {
    const cell = await cellHealth(settling);
    if (cell?.ended) return FOUND;
    // A cell that is there will end, however long its last look for early warnings takes.
    return { progress: String(judgedMs(cell)), ...(cell === undefined && { quiet: FOUND }) };
  };
  return until(settling, 'the defense level', look);
}

/** Resolves once resilience has judged the window that covers an event time, early warnings included. */
export function untilJudged(settling: Settling, newestMs: number): Promise<void> {
  const look = async (): Promise<Look<void>> => {
    const atMs = judgedMs(await cellHealth(settling));
    return atMs > newestMs ? FOUND : { progress: String(atMs) };
  };
  return until(settling, 'the defense level', look);
}

async function cellHealth({ link, stream }: Settling): Promise<CellHealth | undefined> {
  const { health } = await link.clients.resilience.getHealth({});
  return health?.cells.find(({ cell }) => cell?.domain === stream.domain && cell.cluster === stream.cluster);
}

/** Event time of a cell's last look; 0 before the first. */
function judgedMs(cell: CellHealth | undefined): number {
  const asOf = cell?.defense?.asOf;
  return asOf ? timestampMs(asOf) : 0;
}
