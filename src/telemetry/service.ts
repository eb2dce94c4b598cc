/** TelemetryService: requests to parts of the context and back. Reports tell what is committed, and nothing else. */
import type { MessageInitShape } from '@bufbuild/protobuf';
import { timestampFromMs, timestampMs } from '@bufbuild/protobuf/wkt';
import type { Bus } from '../bus/bus.ts';
import { telemetryFilter } from '../bus/topics.ts';
import type { Clock } from '../clock.ts';
import {
  type GetIngestReportRequest,
  type GetIngestReportResponseSchema,
  type ListRejectedRequest,
  type ListRejectedResponseSchema,
  type ListSourcesRequest,
  type ListSourcesResponseSchema,
  RejectReason,
  type SourceSchema,
  SourceState,
  TelemetryService,
} from '../gen/homeostat/telemetry/v1/telemetry_service_pb.ts';
import type { Page } from '../gen/homeostat/type/v1/stream_ref_pb.ts';
import { type ServiceBinding, serviceBinding } from '../rpc/handler.ts';
import { fieldsInvalid, telemetryError } from './errors.ts';
import { parseHead, readRuns } from './fold/checkpoint.ts';
import { addCounts, createCounts, offered } from './fold/counts.ts';
import { type Ingest, placeOf } from './ingest.ts';
import { countsToProto, originsToProto } from './report.ts';
import type { SourceRun } from './source/source.ts';
import type { StoredCheckpoint, StreamKey, TelemetryStore } from './store.ts';
import { createSubmit } from './submit-service.ts';
import { watchStream } from './watch.ts';
import { LIVE_WITHIN_MS } from './window/watermark.ts';

const PAGE_SIZE = 50;
/** Checkpoints read at a time while listing sources. */
const STREAMS_READ = 16;

export interface ServiceDeps {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly table: TelemetryStore;
  readonly ingest: Ingest;
}

export function createTelemetryService(deps: ServiceDeps): ServiceBinding {
  const { bus, clock, table, ingest } = deps;
  const submit = createSubmit({ bus, fold: () => ingest.fold });
  const watchDeps = { bus, clock, placeOf, lastSequence: () => ingest.fold?.lastSequence ?? 0 };
  const binding = serviceBinding(
    TelemetryService,
    {
      submitBatch: async ({ batch }) => ({ ack: await submit.one(batch!) }),
      ingest: (requests, call) => submit.many(requests, call.signal),
      watch: (request, call) => watchStream(watchDeps, request, call.signal),
      getIngestReport: (request) => reportOf(table, request),
      listSources: (request) => listSources(table, request),
      listRejected: (request) => listRejected(bus, request),
    },
    () => ingest.unavailable(),
  );
  return { ...binding, selfChecking: ['ingest'] };
}

async function reportOf(
  table: TelemetryStore,
  { stream, range }: GetIngestReportRequest,
): Promise<MessageInitShape<typeof GetIngestReportResponseSchema>> {
  const { domain, cluster } = stream!;
  const stored = await table.checkpoint({ domain, cluster });
  const head = stored && parseHead(stored.head);
  const messages = createCounts(head?.messages);
  const samples = createCounts(head?.samples);
  if (head) {
    addCounts(messages, head.messagesPending);
    addCounts(samples, head.samplesPending);
  }
  if (!stored || !head || offered(messages) === 0)
    throw telemetryError('STREAM_NOT_FOUND', { domain, cluster });
  let windowsClosed = head.windowsClosed;
  if (range !== undefined) {
    const startMs = range.start ? timestampMs(range.start) : Number.MIN_SAFE_INTEGER;
    const endMs = range.end ? timestampMs(range.end) : Number.MAX_SAFE_INTEGER;
    const windows = await table.windowCounts({ domain, cluster }, startMs, endMs);
    messages.fill(0);
    samples.fill(0);
    for (const counts of windows) {
      addCounts(messages, counts.messages);
      addCounts(samples, counts.samples);
    }
    windowsClosed = windows.length;
  }
  return {
    messages: countsToProto(messages),
    samples: countsToProto(samples),
    gaps: {
      open: BigInt(head.gaps.open),
      missing: BigInt(head.gaps.missing),
      closed: BigInt(head.gaps.closed),
      unsequencedMessages: BigInt(head.unsequenced),
    },
    windowsClosed: BigInt(windowsClosed),
    windowsOpen: head.windowsOpen,
    ...(Number.isFinite(head.newestHeardMs) && { newestEventTime: timestampFromMs(head.newestHeardMs) }),
    ...(Number.isFinite(head.watermarkMs) && { watermark: timestampFromMs(head.watermarkMs) }),
    brokerSequence: BigInt(stored.sequence),
    attributeOrigins: originsToProto(head.origins ?? []),
  };
}

/** Place in the order of sources: domain, cluster, source id, epoch. */
type SourcePlace = readonly [domain: string, cluster: string, sourceId: string, epoch: number];

async function listSources(
  table: TelemetryStore,
  { stream, page }: ListSourcesRequest,
): Promise<MessageInitShape<typeof ListSourcesResponseSchema>> {
  const size = page?.pageSize ?? PAGE_SIZE;
  const after = parseSourceToken(page);
  const sources: MessageInitShape<typeof SourceSchema>[] = [];
  let last: SourcePlace | undefined;
  for await (const stored of checkpointsFrom(table, stream, after)) {
    const runs = [...readRuns(stored)].sort(inOrder);
    const { newestMs } = parseHead(stored.head);
    for (const run of runs) {
      const place: SourcePlace = [stored.domain, stored.cluster, run.sourceId, run.epoch];
      if (after !== undefined && !isAfter(place, after)) continue;
      if (sources.length === size) return { sources, nextPageToken: encodeToken(last!) };
      sources.push(describeRun(stored, run, newestMs));
      last = place;
    }
  }
  return { sources };
}

function describeRun(
  { domain, cluster }: StreamKey,
  run: SourceRun,
  newestMs: number,
): MessageInitShape<typeof SourceSchema> {
  const isLive = run.newestMs >= newestMs - LIVE_WITHIN_MS;
  return {
    stream: { domain, cluster },
    sourceId: run.sourceId,
    epoch: run.epoch,
    highestSequence: run.sequences.highest,
    ...(Number.isFinite(run.newestMs) && { newestEventTime: timestampFromMs(run.newestMs) }),
    state: run.ended ? SourceState.ENDED : isLive ? SourceState.LIVE : SourceState.IDLE,
    missing: run.sequences.missing(),
  };
}

/** The checkpoint of one stream, or all from a place on. */
async function* checkpointsFrom(
  table: TelemetryStore,
  stream: StreamKey | undefined,
  after: SourcePlace | undefined,
): AsyncIterable<StoredCheckpoint> {
  if (stream !== undefined) {
    const { domain, cluster } = stream;
    const stored = await table.checkpoint({ domain, cluster });
    if (stored) yield stored;
    return;
  }
  let from: StreamKey = { domain: after?.[0] ?? '', cluster: after?.[1] ?? '' };
  for (;;) {
    const rows = await table.checkpoints(from, STREAMS_READ);
    yield* rows;
    const last = rows.at(-1);
    if (last === undefined || rows.length < STREAMS_READ) return;
    from = { domain: last.domain, cluster: `${last.cluster}\u0001` };
  }
}

function inOrder(one: SourceRun, other: SourceRun): number {
  if (one.sourceId !== other.sourceId) return one.sourceId < other.sourceId ? -1 : 1;
  return one.epoch - other.epoch;
}

function isAfter(place: SourcePlace, other: SourcePlace): boolean {
  for (const i of [0, 1, 2, 3] as const) if (place[i] !== other[i]) return place[i] > other[i];
  return false;
}

function encodeToken(place: SourcePlace): string {
  return Buffer.from(JSON.stringify(place)).toString('base64url');
}

function parseSourceToken(page: Page | undefined): SourcePlace | undefined {
  if (!page?.pageToken) return undefined;
  try {
    const place: unknown = JSON.parse(Buffer.from(page.pageToken, 'base64url').toString());
    if (
      Array.isArray(place) &&
      place.length === 4 &&
      place.slice(0, 3).every((part) => typeof part === 'string')
    )
      return [place[0], place[1], place[2], Number(place[3])];
  } catch {
    // Not a token of ours; refused below.
  }
  throw badToken();
}

function badToken() {
  return fieldsInvalid([{ field: 'page.page_token', description: 'is not one that this call gave' }]);
}

async function listRejected(
  bus: Bus,
  { stream, page }: ListRejectedRequest,
): Promise<MessageInitShape<typeof ListRejectedResponseSchema>> {
  const size = page?.pageSize ?? PAGE_SIZE;
  const token = page?.pageToken ?? '';
  if (!/^\d{0,15}$/.test(token)) throw badToken();
  const letters = await bus.listDeadLetters({
    after: Number(token),
    limit: size + 1,
    ...(stream && { subjectPrefix: telemetryFilter(stream.domain, stream.cluster).slice(0, -1) }),
  });
  const shown = letters.slice(0, size);
  return {
    rejected: shown.map((letter) => ({
      brokerSequence: BigInt(letter.sequence),
      subject: letter.subject,
      receivedAt: timestampFromMs(letter.receivedAtMs),
      reasons: parseReasons(letter.reasons),
      detail: letter.detail,
      payload: letter.payload,
      whole: letter.whole,
    })),
    nextPageToken: letters.length > size ? String(shown.at(-1)!.place) : '',
  };
}

const REASONS: ReadonlyMap<string, RejectReason> = new Map(Object.entries(RejectReason));

/** Reads `MALFORMED=1,NOT_FINITE=3`. */
function parseReasons(text: string): { reason: RejectReason; count: bigint }[] {
  return text.split(',').map((entry) => {
    const [name = '', count = '0'] = entry.split('=');
    return { reason: REASONS.get(name) ?? RejectReason.UNSPECIFIED, count: BigInt(count) };
  });
}
