/**
 * A telemetry producer in TypeScript: protobuf, numbered, many messages in flight, each known to be stored.
 * In a project that has installed the package, import from `homeostat/producer` and `homeostat/proto/…` instead.
 */
import { readFileSync } from 'node:fs';
import { create, toBinary } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import { connectProducer } from '../src/bus/producer.ts';
import { telemetrySubject } from '../src/bus/topics.ts';
import { TelemetryBatchSchema } from '../src/gen/homeostat/telemetry/v1/telemetry_service_pb.ts';

const producer = await connectProducer({ url: readFileSync('.homeostat/producer.url', 'utf8').trim() });
const batch = create(TelemetryBatchSchema, {
  sourceId: 'example',
  epoch: Math.floor(Date.now() / 1000), // greater at each start of this producer
  sequence: 1, // one more with each batch
  domain: 'lab',
  cluster: 'live',
  node: 'n2',
  baseTime: timestampFromMs(Date.now()),
  metrics: [{ name: 'cpu', unit: '1' }],
  metricIndex: [0, 0],
  offsetMs: [-1000, 0],
  values: [0.96, 0.98],
});
const place = await producer.publish(
  telemetrySubject('lab', 'live', 'n2'),
  toBinary(TelemetryBatchSchema, batch),
);
console.log(`stored as message ${place}`);
await producer.close();
