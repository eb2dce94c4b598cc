/** What a whole server refuses of OpenTelemetry, over gRPC and HTTP alike, and that repeating it does no harm. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { fromBinary } from '@bufbuild/protobuf';
import { anyUnpack } from '@bufbuild/protobuf/wkt';
import {
  Client,
  compressionAlgorithms,
  credentials,
  Metadata,
  type ServiceError,
  status,
} from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { openChannel } from '../../src/client/client.ts';
import { ErrorInfoSchema, RetryInfoSchema } from '../../src/gen/google/rpc/error_details_pb.ts';
import { StatusSchema } from '../../src/gen/google/rpc/status_pb.ts';
import { MetricsService } from '../../src/gen/opentelemetry/proto/collector/metrics/v1/metrics_service_pb.ts';
import { startWorld, type World } from '../support/world.ts';
import { encoded, gauge, point, request, resource } from '../telemetry/otlp/exports.ts';
import {
  at,
  collectOnce,
  createExporters,
  deliver,
  type Exporters,
  reportWhere,
  shutDown,
} from './otlp-exporters.ts';

let world: World;
let exporters: Exporters;

beforeAll(async () => {
  world = await startWorld();
  exporters = createExporters(world, world.adminKey);
});
afterAll(async () => {
  await shutDown(exporters);
  await world.stop();
});

describe('bytes over gRPC', () => {
  /** Sends bytes as a message, gzipped by grpc-js; resolves with how the call failed. */
  async function exportBytes(bytes: Uint8Array): Promise<ServiceError> {
    const client = new Client(world.server.grpcAddress, credentials.createInsecure(), {
      'grpc.default_compression_algorithm': compressionAlgorithms.gzip,
      'grpc.max_send_message_length': -1,
    });
    const metadata = new Metadata();
    metadata.set('authorization', `Bearer ${world.adminKey}`);
    const same = (buffer: Buffer) => buffer;
    const path = `/${MetricsService.typeName}/Export`;
    try {
      return await new Promise((resolve, reject) => {
        client.makeUnaryRequest(path, same, same, Buffer.from(bytes), metadata, (error) =>
          error ? resolve(error) : reject(new Error('it was answered')),
        );
      });
    } finally {
      client.close();
    }
  }

  test('that are no export are INVALID_ARGUMENT', async () => {
    expect(await exportBytes(Uint8Array.from([7, 7, 7]))).toMatchObject({
      code: status.INVALID_ARGUMENT,
      details: expect.stringMatching(/^MALFORMED: /),
    });
  });

  test('that unpack to more than 16 MiB are RESOURCE_EXHAUSTED', async () => {
    expect(await exportBytes(new Uint8Array(17 * 1024 * 1024))).toMatchObject({
      code: status.RESOURCE_EXHAUSTED,
    });
  });
});

test('HTTP takes 16 MiB unpacked and no more', async () => {
  const post = (bytes: number) =>
    fetch(`http://${world.server.httpAddress}/v1/metrics`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${world.adminKey}`,
        'content-type': 'application/json',
        'content-encoding': 'gzip',
      },
      body: gzipSync(`{}${' '.repeat(bytes - 2)}`),
    });
  expect((await post(16 * 1024 * 1024)).status).toBe(200);
  expect((await post(16 * 1024 * 1024 + 1)).status).toBe(413);
});

test('while the broker does not answer, exports are to be repeated; those that are count once', async () => {
  const stream = { domain: 'shop', cluster: 'stalled' };
  const metrics = at(await collectOnce(), 0, {
    'homeostat.domain': stream.domain,
    'homeostat.cluster': stream.cluster,
    'homeostat.node': 'n1',
  });
  const { pid } = JSON.parse(readFileSync(join(world.dataDir, 'nats', 'broker.json'), 'utf8')) as {
    pid: number;
  };
  const one = request(resource([gauge('g', [point(0, 1)])]));
  const channel = openChannel({
    address: world.server.grpcAddress,
    token: world.adminKey,
    retry: { attempts: 1 },
  });
  process.kill(pid, 'SIGSTOP');
  let repeated: Promise<Error | undefined>;
  try {
    repeated = deliver(exporters.json, metrics);
    const overGrpc = channel.unary(MetricsService.method.export, one).catch((error: unknown) => error);
    const overHttp = await fetch(`http://${world.server.httpAddress}/v1/metrics`, {
      method: 'POST',
      headers: { authorization: `Bearer ${world.adminKey}`, 'content-type': 'application/x-protobuf' },
      body: Buffer.from(encoded(one).protobuf),
    });
    expect(await overGrpc).toMatchObject({ code: 'UNAVAILABLE', reason: 'BROKER_DOWN', retryAfterMs: 1_000 });
    expect([overHttp.status, overHttp.headers.get('retry-after')]).toEqual([503, '1']);
    const { code, details } = fromBinary(StatusSchema, new Uint8Array(await overHttp.arrayBuffer()));
    expect(code).toBe(status.UNAVAILABLE);
    expect(details.map((detail) => anyUnpack(detail, ErrorInfoSchema)?.reason)).toContain('BROKER_DOWN');
    expect(details.map((detail) => anyUnpack(detail, RetryInfoSchema)?.retryDelay?.seconds)).toContain(1n);
  } finally {
    process.kill(pid, 'SIGCONT');
    channel.close();
  }
  expect(await repeated).toBeUndefined();
  // What was published while the broker stood still may or may not have reached it; this repetition does.
  expect(await deliver(exporters.json, metrics)).toBeUndefined();
  const { samples } = await reportWhere(
    world,
    stream,
    (report) => report.samples!.accepted === 8n && report.samples!.offered >= 16n,
  );
  expect(samples!.duplicate).toBe(samples!.offered - 8n);
});
