/**
 * What a replay did, as JSON. Two replays of the same recording give the same digest, whatever the rate and whatever
 * crashed in between: the report holds event times, counts and content, no ids and no wall times.
 */
import { createHash } from 'node:crypto';
import { timestampMs } from '@bufbuild/protobuf/wkt';
import canonicalize from 'canonicalize';
import type { Clients } from '../client/client.ts';
import type { DefenseLogEntry } from '../gen/homeostat/resilience/v1/resilience_service_pb.ts';
import type { MapsSummary } from './maps-summary.ts';
import type { RecordingCounts } from './recording.ts';
import type { Account, StreamName } from './stream-account.ts';

export interface LevelChange {
  readonly from: number;
  readonly to: number;
  /** Event time of the look that changed it, ISO 8601. */
  readonly at: string;
  /** Name of the deciding input, `hysteresis` or `end_of_input`. */
  readonly cause: string;
}

export interface ReplayReport {
  readonly stream: StreamName;
  /** Samples. */
  readonly telemetry: Account;
  readonly messages: Account;
  /** Holes in the sequences, as the server knows them. */
  readonly gaps: { readonly open: number; readonly missing: number; readonly closed: number };
  /** Counts of the file itself. */
  readonly recording: Readonly<RecordingCounts>;
  readonly windows: number;
  readonly maps: Omit<MapsSummary, 'observedStartsMs'>;
  /** Changes of the stream's defense level, oldest first. */
  readonly levelChanges: readonly LevelChange[];
  /** SHA-256 of the RFC 8785 form of the report without every `digest`, `offered` and `duplicate`, hexadecimal. */
  readonly digest: string;
}

/** Completes a report with its digest. */
export function withDigest(report: Omit<ReplayReport, 'digest'>): ReplayReport {
  return { ...report, digest: reportDigest(report) };
}

/**
 * The digest of a report. Members named `digest`, `offered` and `duplicate` are left out at every depth: a message
 * that is sent again after a broken connection raises both counts.
 */
export function reportDigest(report: object): string {
  const text = canonicalize(without(report, new Set(['digest', 'offered', 'duplicate'])));
  return createHash('sha256')
    .update(text ?? '')
    .digest('hex');
}

function without(value: unknown, names: ReadonlySet<string>): unknown {
  if (Array.isArray(value)) return value.map((item) => without(item, names));
  if (typeof value !== 'object' || value === null) return value;
  const kept = Object.entries(value).filter(([name]) => !names.has(name));
  return Object.fromEntries(kept.map(([name, item]) => [name, without(item, names)]));
}

/** Longest the log can look back, hours. */
const LOG_HOURS_MAX = 2_160;

/** Everything logged of a stream's own level, or of the fleet's, oldest first. */
export async function defenseLog(
  clients: Clients,
  stream: StreamName | undefined,
): Promise<DefenseLogEntry[]> {
  const entries: DefenseLogEntry[] = [];
  let pageToken = '';
  do {
    const page = await clients.resilience.listDefenseLog({
      scope: stream ?? {},
      hours: LOG_HOURS_MAX,
      page: { pageSize: 500, pageToken },
    });
    entries.push(...page.entries);
    pageToken = page.nextPageToken;
  } while (pageToken !== '');
  return entries.reverse();
}

/** Changes of a stream's own level, or of the fleet's, whose event time lies in a span, oldest first. */
export async function levelChanges(
  clients: Clients,
  stream: StreamName | undefined,
  fromMs: number,
  toMs: number,
): Promise<LevelChange[]> {
  return changesWithin(await defenseLog(clients, stream), fromMs, toMs);
}

/** Changes whose event time lies in a span, in the order of the log. */
export function changesWithin(log: readonly DefenseLogEntry[], fromMs: number, toMs: number): LevelChange[] {
  return log.flatMap(({ fromLevel, toLevel, at, cause }) => {
    const atMs = at ? timestampMs(at) : Number.NaN;
    const isInside = atMs >= fromMs && atMs <= toMs;
    return isInside ? [{ from: fromLevel, to: toLevel, at: new Date(atMs).toISOString(), cause }] : [];
  });
}
