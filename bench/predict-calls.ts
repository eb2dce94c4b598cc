/** The calls P10 makes, and the stream they are about: power measured at the nodes of a grid, a hill that drifts. */
import { create, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import type { Producer } from '../src/bus/producer.ts';
import { telemetrySubject } from '../src/bus/topics.ts';
import type { Clients } from '../src/client/client.ts';
import { PredictRequestSchema } from '../src/gen/homeostat/energy/v1/energy_service_pb.ts';
import { MetricKind, TelemetryBatchSchema } from '../src/gen/homeostat/telemetry/v1/telemetry_service_pb.ts';

export const PREDICT_PATH = '/homeostat.energy.v1.EnergyService/Predict';
const STREAM = { domain: 'bench', cluster: 'plane' };
const SIDE = 64;
const CELLS = SIDE * SIDE;
const START_MS = Date.UTC(2026, 0, 1);
const WINDOW_MS = 10_000;
/** Samples of a node in a window. */
const OFFSETS_MS = [0, 3_000, 6_000, 9_000];
/** Messages without an acknowledgement. */
const IN_FLIGHT = 2_048;

/** Watts at a cell in a window. */
function wattsAt(window: number, cell: number): number {
  const wave = (place: number, speed: number) => Math.sin((2 * Math.PI * (place - speed * window)) / SIDE);
  return 100 + 40 * wave(cell % SIDE, 1.5) * wave(Math.floor(cell / SIDE), 0.7) + ((cell * 7919) % 97) / 97;
}

/** Sends the windows of the stream, ends its input, and waits until the last one is a map. */
export async function feedWindows(producer: Producer, clients: Clients, windows: number): Promise<void> {
  const inFlight: Promise<number>[] = [];
  for (let window = 0; window < windows; window++) {
    for (let cell = 0; cell < CELLS; cell++) {
      const bytes = toBinary(
        TelemetryBatchSchema,
        create(TelemetryBatchSchema, batchOf(window, cell, windows)),
      );
      await producer.ready();
      inFlight.push(producer.publish(telemetrySubject(STREAM.domain, STREAM.cluster, nodeOf(cell)), bytes));
      if (inFlight.length >= IN_FLIGHT) await inFlight.shift();
    }
  }
  await Promise.all(inFlight);
  const lastMs = START_MS + (windows - 1) * WINDOW_MS;
  for (;;) {
    const { maps } = await clients.energy
      .listMaps({ stream: STREAM, level: 10, page: { pageSize: 1 } })
      .catch(() => ({ maps: [] }));
    if (Number(maps[0]?.start?.seconds ?? 0n) * 1000 >= lastMs) return;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

function nodeOf(cell: number): string {
  return `n${cell}`;
}

function batchOf(
  window: number,
  cell: number,
  windows: number,
): MessageInitShape<typeof TelemetryBatchSchema> {
  return {
    sourceId: nodeOf(cell),
    epoch: 1,
    sequence: window + 1,
    ...STREAM,
    node: nodeOf(cell),
    baseTime: timestampFromMs(START_MS + window * WINDOW_MS),
    metrics: [{ name: 'power', unit: 'W', kind: MetricKind.GAUGE }],
    metricIndex: OFFSETS_MS.map(() => 0),
    offsetMs: OFFSETS_MS,
    values: OFFSETS_MS.map(() => wattsAt(window, cell)),
    endOfInput: window === windows - 1 && cell === CELLS - 1,
    labels: { 'homeostat.row': String(Math.floor(cell / SIDE)), 'homeostat.col': String(cell % SIDE) },
  };
}

/** The questions: about the stream's latest map, and about a map handed in, with the stream and alone. */
export type Asked = 'latest' | 'handed' | 'alone';

export function predictBody(asked: Asked): Uint8Array {
  const cells = Float32Array.from({ length: CELLS }, (_, cell) => 10 * wattsAt(1_000, cell));
  const map = {
    grid: { rows: SIDE, cols: SIDE, rawValues: new Uint8Array(cells.buffer) },
  };
  const request = {
    ...(asked !== 'alone' && { stream: STREAM }),
    ...(asked !== 'latest' && { map }),
  };
  return toBinary(PredictRequestSchema, create(PredictRequestSchema, request));
}
