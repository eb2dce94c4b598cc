/** What the server says became of a stream's telemetry: the conservation law in numbers. */
import { type Clients, RpcError } from '../client/client.ts';
import {
  type GetIngestReportResponse,
  type IngestCounts,
  type RejectReason,
  RejectReasonSchema,
} from '../gen/homeostat/telemetry/v1/telemetry_service_pb.ts';
import type { StreamRef } from '../gen/homeostat/type/v1/stream_ref_pb.ts';

export type StreamName = Pick<StreamRef, 'domain' | 'cluster'>;

/** offered = accepted + duplicate + late + rejected, all from the server. */
export interface Account {
  readonly offered: number;
  readonly accepted: number;
  readonly duplicate: number;
  readonly late: number;
  readonly rejected: number;
  /** Reasons without any are left out. */
  readonly rejectedByReason: Readonly<Record<string, number>>;
}

/** Of nothing at all. */
export const EMPTY_ACCOUNT = accountOf(undefined);

export function accountOf(counts: IngestCounts | undefined): Account {
  const reasons = (counts?.rejected ?? []).map(
    ({ reason, count }) => [reasonName(reason), Number(count)] as const,
  );
  return {
    offered: Number(counts?.offered ?? 0n),
    accepted: Number(counts?.accepted ?? 0n),
    duplicate: Number(counts?.duplicate ?? 0n),
    late: Number(counts?.late ?? 0n),
    rejected: reasons.reduce((sum, [, count]) => sum + count, 0),
    rejectedByReason: Object.fromEntries(reasons),
  };
}

/** Name of a reason as the contract has it, without prefix. */
function reasonName(reason: RejectReason): string {
  return RejectReasonSchema.value[reason]?.localName ?? String(reason);
}

/** What was added to an account since an earlier one. */
export function difference(after: Account, before: Account): Account {
  const reasons = Object.entries(after.rejectedByReason)
    .map(([reason, count]) => [reason, count - (before.rejectedByReason[reason] ?? 0)] as const)
    .filter(([, added]) => added > 0);
  return {
    offered: after.offered - before.offered,
    accepted: after.accepted - before.accepted,
    duplicate: after.duplicate - before.duplicate,
    late: after.late - before.late,
    rejected: after.rejected - before.rejected,
    rejectedByReason: Object.fromEntries(reasons),
  };
}

export function isBalanced({ offered, accepted, duplicate, late, rejected }: Account): boolean {
  return offered === accepted + duplicate + late + rejected;
}

/** The report of a stream; undefined while nothing was ever offered to it. */
export async function ingestReport(
  clients: Clients,
  stream: StreamName,
): Promise<GetIngestReportResponse | undefined> {
  try {
    return await clients.telemetry.getIngestReport({ stream });
  } catch (error) {
    if (error instanceof RpcError && error.reason === 'STREAM_NOT_FOUND') return undefined;
    throw error;
  }
}

/**
 * An epoch greater than all the stream knows of a source: the seconds since 1970, or one more than the greatest where
 * two runs begin within a second.
 */
export async function nextEpoch(
  clients: Clients,
  stream: StreamName,
  sourceId: string,
  nowMs: number,
): Promise<number> {
  let epoch = Math.floor(nowMs / 1_000);
  let pageToken = '';
  do {
    const page = await clients.telemetry.listSources({ stream, page: { pageSize: 500, pageToken } });
    for (const source of page.sources) {
      if (source.sourceId === sourceId) epoch = Math.max(epoch, source.epoch + 1);
    }
    pageToken = page.nextPageToken;
  } while (pageToken !== '');
  return epoch;
}
