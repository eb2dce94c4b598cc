/**
 * Waiting until a server has done everything that follows from telemetry handed in: judged it, made its maps, looked
 * at its load. Waiting goes on as long as there is progress; a server that is away for a while is waited for too.
 */
import { timestampMs } from '@bufbuild/protobuf/wkt';
import { RpcError } from '../client/client.ts';
import { type Clock, delay } from '../clock.ts';
import type { GetIngestReportResponse } from '../gen/homeostat/telemetry/v1/telemetry_service_pb.ts';
import type { ServerLink } from './endpoint.ts';
import { CliFailure } from './failure.ts';
import { ingestReport, type StreamName } from './stream-account.ts';

const POLL_MS = 50;
/** Time without any progress after which waiting is given up. */
const STUCK_MS = 60_000;
/** Time without news after which a stream whose last window left no trace counts as followed. */
const QUIET_MS = 3_000;

export interface Settling {
  readonly link: ServerLink;
  readonly stream: StreamName;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/** What one look found: the awaited thing, or how far it is. */
type Look<Result> = { readonly found: Result } | { readonly progress: string };

/** Repeats `look` until it finds. `quiet` answers in its place when nothing has changed for 3 s. */
async function until<Result>(
  { link, clock, signal }: Settling,
  what: string,
  look: () => Promise<Look<Result>>,
  quiet?: () => Result,
): Promise<Result> {
  let progress = '';
  let changedMs = clock.monotonicMs();
  for (;;) {
    const seen = await look().catch((error: unknown): Look<Result> => {
      if (!(error instanceof RpcError) || error.code !== 'UNAVAILABLE') throw error;
      link.refresh();
      return { progress: 'away' };
    });
    if ('found' in seen) return seen.found;
    if (signal.aborted) throw new CliFailure(1, `interrupted while waiting for ${what}`);
    const nowMs = clock.monotonicMs();
    if (seen.progress !== progress) changedMs = nowMs;
    progress = seen.progress;
    if (quiet && progress !== 'away' && nowMs - changedMs > QUIET_MS) return quiet();
    if (nowMs - changedMs > STUCK_MS)
      throw new CliFailure(1, `nothing happened for a minute while waiting for ${what}`);
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
    return endMs > newestMs ? { found: undefined } : { progress: String(endMs) };
  };
  return until(settling, 'the maps', look, () => undefined);
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
  const { link, stream } = settling;
  const look = async (): Promise<Look<void>> => {
    const { health } = await link.clients.resilience.getHealth({});
    const cell = health?.cells.find(
      (one) => one.cell?.domain === stream.domain && one.cell.cluster === stream.cluster,
    );
    if (cell?.ended) return { found: undefined };
    const asOf = cell?.defense?.asOf;
    return { progress: asOf ? String(timestampMs(asOf)) : 'none' };
  };
  return until(settling, 'the defense level', look, () => undefined);
}
