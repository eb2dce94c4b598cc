/**
 * `npm run pictures`: makes docs/pictures/*.svg. Starts a server of its own, sends it a seeded fleet through NATS, and
 * draws what it answers over gRPC; nothing is drawn that a client could not ask for. Same seed, same files, as far as the
 * server's answers depend on event time alone.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { create, toBinary } from '@bufbuild/protobuf';
import { timestampFromMs, timestampMs } from '@bufbuild/protobuf/wkt';
import type { Producer } from '../../src/bus/producer.ts';
import { telemetrySubject } from '../../src/bus/topics.ts';
import { endpointOf } from '../../src/cli/endpoint.ts';
import { launchIsolated } from '../../src/cli/launch.ts';
import type { Clients } from '../../src/client/client.ts';
import {
  type TelemetryBatch,
  TelemetryBatchSchema,
} from '../../src/gen/homeostat/telemetry/v1/telemetry_service_pb.ts';
import { drawForecast, drawFutures, drawImputed, drawMap, drawRegimes } from './pictures.ts';
import { ACTS, COLS, ROWS, scene } from './scene.ts';

const SEED = 7;
const WIDTH_MS = 10_000;
const START_MS = Date.UTC(2026, 0, 5);
const STREAM = { domain: 'pictures', cluster: 'fleet' };

const { values } = parseArgs({ options: { out: { type: 'string', default: 'docs/pictures' } } });
const { dataDir, dispose } = await launchIsolated(false);
try {
  const endpoint = endpointOf(dataDir, 'managed');
  const producer = await endpoint.produce();
  const link = endpoint.connect();
  try {
    await draw(link.clients, producer, values.out);
  } finally {
    link.close();
    await producer.close();
  }
} finally {
  await dispose();
}

async function draw(clients: Clients, producer: Producer, out: string): Promise<void> {
  mkdirSync(out, { recursive: true });
  const save = (name: string, svg: string) => {
    writeFileSync(join(out, `${name}.svg`), svg);
    process.stdout.write(`${join(out, `${name}.svg`)}\n`);
  };
  const steps = [...scene(SEED)];
  await feed(clients, producer, steps, ACTS.calm, ACTS.drift);
  const asked = { clients, stream: STREAM };
  save('map', await drawMap(asked));
  // What came after the newest map, in its unit.
  const future = steps.slice(ACTS.drift - 1).map((watts) => watts.map((power) => (power * WIDTH_MS) / 1000));
  save('forecast', await drawForecast(asked, future));
  save('futures', await drawFutures(asked, future));
  save('imputed', await drawImputed(asked, SEED));
  await feed(clients, producer, steps, ACTS.drift, ACTS.end);
  save('regimes', await drawRegimes(asked));
}

/** Publishes the steps and waits for the map of the last but one: a window closes with what comes after it. */
async function feed(
  clients: Clients,
  producer: Producer,
  steps: readonly Float64Array[],
  from: number,
  to: number,
): Promise<void> {
  const watched = clients.energy.watchMaps({ stream: STREAM, resumeToken: String(START_MS - 1) });
  for (let step = from; step < to; step++) {
    for (let cell = 0; cell < ROWS * COLS; cell++) {
      const batch = batchOf(step, cell, steps[step]![cell]!);
      await producer.ready();
      void producer.publish(
        telemetrySubject(batch.domain, batch.cluster, batch.node),
        toBinary(TelemetryBatchSchema, batch),
      );
    }
  }
  await producer.idle();
  const lastMs = START_MS + (to - 2) * WIDTH_MS;
  for await (const { map } of watched) if (map && timestampMs(map.start!) >= lastMs) return;
}

/** A node's power over one window. */
function batchOf(step: number, cell: number, watts: number): TelemetryBatch {
  const node = `node-${String(cell).padStart(3, '0')}`;
  return create(TelemetryBatchSchema, {
    sourceId: node,
    epoch: 1,
    sequence: step + 1,
    ...STREAM,
    node,
    baseTime: timestampFromMs(START_MS + step * WIDTH_MS),
    metrics: [{ name: 'power', unit: 'W' }],
    metricIndex: [0, 0],
    offsetMs: [0, WIDTH_MS / 2],
    values: [watts, watts],
    labels: {
      'homeostat.row': String(Math.floor(cell / COLS)),
      'homeostat.col': String(cell % COLS),
    },
  });
}
