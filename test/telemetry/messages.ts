/** Telemetry as producers send it, in few words, and a fold to feed it to without broker or SQL. */
import { create, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import { telemetrySubject } from '../../src/bus/topics.ts';
import {
  MetricKind,
  type TelemetryBatch,
  TelemetryBatchSchema,
} from '../../src/gen/homeostat/telemetry/v1/telemetry_service_pb.ts';
import { ACCEPTED, addCounts, type Counts, createCounts } from '../../src/telemetry/fold/counts.ts';
import { TelemetryFold } from '../../src/telemetry/fold/fold.ts';
import type { FoldSettings, StreamFold } from '../../src/telemetry/fold/stream.ts';
import { placeOf } from '../../src/telemetry/ingest.ts';
import type { ClosedWindow } from '../../src/telemetry/window/closing.ts';

/** A round instant: 2026-01-01T00:00:00Z. */
export const START_MS = Date.UTC(2026, 0, 1);

/** One sample: seconds after START_MS, value, and the metric's name (default `cpu`). */
export type SampleInit = readonly [atSeconds: number, value: number, metric?: string];

export interface BatchInit {
  readonly source?: string;
  readonly epoch?: number;
  readonly sequence?: number;
  readonly node?: string;
  readonly samples?: readonly SampleInit[];
  /** Seconds after START_MS; default 0. */
  readonly baseSeconds?: number;
  readonly unit?: string;
  readonly kind?: MetricKind;
  readonly endOfInput?: boolean;
  readonly labels?: Record<string, string>;
}

export const DOMAIN = 'lab';
export const CLUSTER = 'west';

export function batchInit(init: BatchInit): MessageInitShape<typeof TelemetryBatchSchema> & TelemetryBatch {
  const {
    source = 'agent',
    node = 'n1',
    samples = [],
    baseSeconds = 0,
    unit = '',
    kind = MetricKind.GAUGE,
  } = init;
  const baseMs = Math.round(baseSeconds * 1000);
  const names = [...new Set(samples.map(([, , metric = 'cpu']) => metric))];
  return create(TelemetryBatchSchema, {
    sourceId: source,
    epoch: init.epoch ?? 1,
    sequence: init.sequence ?? 0,
    domain: DOMAIN,
    cluster: CLUSTER,
    node,
    baseTime: timestampFromMs(START_MS + baseMs),
    metrics: names.map((name) => ({ name, unit, kind })),
    metricIndex: samples.map(([, , metric = 'cpu']) => names.indexOf(metric)),
    offsetMs: samples.map(([atSeconds]) => Math.round(atSeconds * 1000) - baseMs),
    values: samples.map(([, value]) => value),
    endOfInput: init.endOfInput ?? false,
    labels: init.labels ?? {},
  });
}

export function encodeBatch(init: BatchInit): Uint8Array {
  return toBinary(TelemetryBatchSchema, batchInit(init));
}

export function subjectOf(node = 'n1'): string {
  return telemetrySubject(DOMAIN, CLUSTER, node);
}

export const SETTINGS: FoldSettings = {
  windowMs: 10_000,
  latenessMs: 2_000,
  seriesMax: 100_000,
  memoryMs: 86_400_000,
};

export interface Harness {
  readonly fold: TelemetryFold;
  /** Sends a batch; the broker takes it `receivedSeconds` after START_MS, default a day. */
  send(init: BatchInit, receivedSeconds?: number): void;
  /** Sends bytes as they are. */
  sendRaw(payload: Uint8Array | string, subject?: string, receivedSeconds?: number): void;
  readonly stream: StreamFold;
  /** Windows closed and not yet taken by a checkpoint. */
  readonly closed: readonly ClosedWindow[];
  samples(): Counts;
  messages(): Counts;
}

const DAY_SECONDS = 86_400;

export function createHarness(settings: Partial<FoldSettings> = {}): Harness {
  const fold = new TelemetryFold({ settings: { ...SETTINGS, ...settings }, streamsMax: 100, placeOf });
  let sequence = 0;
  const sendRaw = (payload: Uint8Array | string, subject = subjectOf(), receivedSeconds = DAY_SECONDS) => {
    sequence++;
    const data = typeof payload === 'string' ? new TextEncoder().encode(payload) : payload;
    fold.take({ subject, data, sequence, receivedAtMs: START_MS + receivedSeconds * 1000 });
  };
  return {
    fold,
    sendRaw,
    send: (init, receivedSeconds) => sendRaw(encodeBatch(init), subjectOf(init.node), receivedSeconds),
    get stream() {
      return fold.stream(DOMAIN, CLUSTER);
    },
    get closed() {
      return fold.stream(DOMAIN, CLUSTER).closed;
    },
    samples: () => totals(fold.stream(DOMAIN, CLUSTER), 'samples'),
    messages: () => totals(fold.stream(DOMAIN, CLUSTER), 'messages'),
  };
}

export function totals(stream: StreamFold, side: 'samples' | 'messages'): Counts {
  const counts = createCounts();
  addCounts(counts, stream[side]);
  addCounts(counts, stream[`${side}Pending`]);
  return counts;
}

/** Counts with these outcomes and nothing else. */
export function counts(given: Record<number, number>): Counts {
  const made = createCounts();
  for (const [outcome, count] of Object.entries(given)) made[Number(outcome)] = count;
  return made;
}

export function accepted(count: number): Counts {
  return counts({ [ACCEPTED]: count });
}
