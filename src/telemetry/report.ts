/**
 * The account of a stream as reports give it: from counts as they are kept to the contract's messages and to plain
 * numbers. Pure.
 */
import { create } from '@bufbuild/protobuf';
import {
  type GetIngestReportResponse,
  type IngestCounts,
  IngestCountsSchema,
} from '../gen/homeostat/telemetry/v1/telemetry_service_pb.ts';
import {
  ACCEPTED,
  DUPLICATE,
  LATE,
  offered,
  REJECT_REASONS,
  reasonName,
  rejectedFor,
} from './fold/counts.ts';

/** Counts as the contract writes them; reasons without any are left out. */
export function countsToProto(counts: ArrayLike<number>): IngestCounts {
  return create(IngestCountsSchema, {
    offered: BigInt(offered(counts)),
    accepted: BigInt(counts[ACCEPTED]!),
    duplicate: BigInt(counts[DUPLICATE]!),
    late: BigInt(counts[LATE]!),
    rejected: REJECT_REASONS.filter((reason) => counts[rejectedFor(reason)]! > 0).map((reason) => ({
      reason,
      count: BigInt(counts[rejectedFor(reason)]!),
    })),
  });
}

/** One side of the account in plain numbers; `rejected` by reason, in order of the reasons. */
export interface PlainCounts {
  readonly offered: number;
  readonly accepted: number;
  readonly duplicate: number;
  readonly late: number;
  readonly rejected: Readonly<Record<string, number>>;
}

/** The account of a stream that is the same for every replay of the same messages; ready to be hashed. */
export interface PlainReport {
  readonly messages: PlainCounts;
  readonly samples: PlainCounts;
  readonly gaps: { readonly open: number; readonly missing: number; readonly closed: number };
  readonly windowsClosed: number;
}

/** The totals of a report as plain JSON, without places in the broker's stream and without times. */
export function plainReport(report: GetIngestReportResponse): PlainReport {
  const { gaps } = report;
  return {
    messages: plainCounts(report.messages),
    samples: plainCounts(report.samples),
    gaps: {
      open: Number(gaps?.open ?? 0),
      missing: Number(gaps?.missing ?? 0),
      closed: Number(gaps?.closed ?? 0),
    },
    windowsClosed: Number(report.windowsClosed),
  };
}

function plainCounts(counts: IngestCounts | undefined): PlainCounts {
  const rejected: Record<string, number> = {};
  for (const { reason, count } of counts?.rejected ?? []) rejected[reasonName(reason)] = Number(count);
  return {
    offered: Number(counts?.offered ?? 0),
    accepted: Number(counts?.accepted ?? 0),
    duplicate: Number(counts?.duplicate ?? 0),
    late: Number(counts?.late ?? 0),
    rejected,
  };
}
