import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import * as grpc from '@grpc/grpc-js';
import { afterEach, describe, expect, test } from '@jest/globals';
import { createClient } from '../../src/client/client.ts';
import {
  Health,
  HealthCheckRequestSchema,
  HealthCheckResponseSchema,
  HealthCheckResponse_ServingStatus as ServingStatus,
} from '../../src/gen/grpc/health/v1/health_pb.ts';
import { createFakeClock, type FakeClock } from '../support/fake-clock.ts';
import { type EdgeWorld, partialBinding, startEdge } from './edge-world.ts';
import { ProbeService } from './probe-contract.ts';

const PROBE = 'homeostat.probe.v1.ProbeService';

let world: EdgeWorld;
let clock: FakeClock;
let reasons: string[];
let serverReasons: string[];
let degradations: string[];
let serverDegradations: string[];
let skewMs: number;
afterEach(() => world.stop());

async function start() {
  clock = createFakeClock();
  reasons = [];
  serverReasons = [];
  degradations = [];
  serverDegradations = [];
  skewMs = 0;
  const binding = { ...partialBinding(ProbeService, {}, () => reasons), degraded: () => degradations };
  const skewed = { ...clock, monotonicMs: () => clock.monotonicMs() + skewMs };
  world = await startEdge({
    bindings: [binding],
    clock: skewed,
    unavailable: () => serverReasons,
    degraded: () => serverDegradations,
  });
  return createClient(Health, world.channelWith(undefined));
}

/** Check with a bare grpc-js client: the status, and the reason in the metadata. */
function check(service: string): Promise<{ serving: ServingStatus; reason: grpc.MetadataValue | undefined }> {
  const client = new grpc.Client(world.address, grpc.credentials.createInsecure());
  return new Promise((resolve, reject) => {
    let reason: grpc.MetadataValue | undefined;
    const call = client.makeUnaryRequest(
      '/grpc.health.v1.Health/Check',
      (given: { service: string }) =>
        Buffer.from(toBinary(HealthCheckRequestSchema, create(HealthCheckRequestSchema, given))),
      (bytes) => fromBinary(HealthCheckResponseSchema, bytes),
      { service },
      (error, reply) => {
        client.close();
        if (error) reject(error);
        else resolve({ serving: reply!.status, reason });
      },
    );
    call.on('metadata', (metadata) => {
      reason = metadata.get('homeostat-health-reason')[0];
    });
  });
}

describe('Check', () => {
  test('needs no credentials and tells of the server and of each service', async () => {
    await start();
    for (const service of ['', PROBE, 'grpc.health.v1.Health'])
      expect(await check(service)).toEqual({ serving: ServingStatus.SERVING, reason: undefined });
  });

  test('of a service nobody has is NOT_FOUND', async () => {
    await start();
    await expect(check('homeostat.nothing.v1.Service')).rejects.toMatchObject({
      code: grpc.status.NOT_FOUND,
    });
  });

  test('follows what the context says within one refresh, with its reasons', async () => {
    await start();
    reasons = ['BROKER_DOWN', 'DISK_LOW'];
    await clock.advance(100);
    expect(await check(PROBE)).toEqual({
      serving: ServingStatus.NOT_SERVING,
      reason: 'BROKER_DOWN,DISK_LOW',
    });
    expect(await check('')).toMatchObject({ serving: ServingStatus.SERVING });
    reasons = [];
    await clock.advance(100);
    expect(await check(PROBE)).toMatchObject({ serving: ServingStatus.SERVING });
  });

  test('of the whole server follows the whole server', async () => {
    await start();
    serverReasons = ['STORE_DOWN'];
    await clock.advance(100);
    expect(await check('')).toEqual({ serving: ServingStatus.NOT_SERVING, reason: 'STORE_DOWN' });
    expect(await check(PROBE)).toMatchObject({ serving: ServingStatus.SERVING });
  });

  test('tells what a service does without while it serves', async () => {
    await start();
    degradations = ['NO_AXIOMS', 'DISK_LOW'];
    serverDegradations = ['STORE_READ_ONLY'];
    await clock.advance(100);
    expect(await check(PROBE)).toEqual({ serving: ServingStatus.SERVING, reason: 'NO_AXIOMS,DISK_LOW' });
    expect(await check('')).toEqual({ serving: ServingStatus.SERVING, reason: 'STORE_READ_ONLY' });
    reasons = ['BROKER_DOWN'];
    await clock.advance(100);
    expect(await check(PROBE)).toEqual({
      serving: ServingStatus.NOT_SERVING,
      reason: 'BROKER_DOWN,NO_AXIOMS,DISK_LOW',
    });
    reasons = degradations = serverDegradations = [];
    await clock.advance(100);
    expect(await check(PROBE)).toEqual({ serving: ServingStatus.SERVING, reason: undefined });
  });

  test('of a snapshot older than a second is NOT_SERVING', async () => {
    await start();
    skewMs = 1_001; // Time passes and no timer fires, as when the loop is stuck.
    expect(world.server.health.serving()).toBe(false);
    expect(await check(PROBE)).toEqual({ serving: ServingStatus.NOT_SERVING, reason: 'STALE' });
    await clock.advance(100);
    expect(await check(PROBE)).toMatchObject({ serving: ServingStatus.SERVING });
  });

  test('of a context that cannot even say so is FAULTED', async () => {
    clock = createFakeClock();
    const binding = partialBinding(ProbeService, {}, () => {
      throw new Error('broken');
    });
    world = await startEdge({ bindings: [binding], clock });
    expect(await check(PROBE)).toEqual({ serving: ServingStatus.NOT_SERVING, reason: 'FAULTED' });
  });

  test('finds a service also in bytes nobody else would send', async () => {
    await start();
    // The same field twice: the last one counts.
    const odd = Buffer.concat([
      toBinary(HealthCheckRequestSchema, create(HealthCheckRequestSchema, { service: 'first' })),
      toBinary(HealthCheckRequestSchema, create(HealthCheckRequestSchema, { service: PROBE })),
    ]);
    const client = new grpc.Client(world.address, grpc.credentials.createInsecure());
    const reply = await new Promise((resolve, reject) =>
      client.makeUnaryRequest(
        '/grpc.health.v1.Health/Check',
        (bytes: Buffer) => bytes,
        (bytes) => bytes,
        odd,
        (error, bytes) => (error ? reject(error) : resolve(bytes)),
      ),
    );
    client.close();
    expect(reply).toEqual(Buffer.from([0x08, ServingStatus.SERVING]));
  });
});

describe('Watch', () => {
  test('tells the state at once and at each change', async () => {
    const health = await start();
    const replies = health.watch({ service: PROBE })[Symbol.asyncIterator]();
    const next = async () => (await replies.next()).value?.status;
    expect(await next()).toBe(ServingStatus.SERVING);
    reasons = ['LEASE_LOST'];
    await clock.advance(100);
    expect(await next()).toBe(ServingStatus.NOT_SERVING);
    reasons = [];
    await clock.advance(100);
    expect(await next()).toBe(ServingStatus.SERVING);
    await replies.return!();
  });

  test('of a service nobody has says SERVICE_UNKNOWN and goes on', async () => {
    const health = await start();
    const replies = health.watch({ service: 'nothing' })[Symbol.asyncIterator]();
    expect((await replies.next()).value?.status).toBe(ServingStatus.SERVICE_UNKNOWN);
    await replies.return!();
  });
});

describe('the life of a server', () => {
  test('is STARTING until it is marked serving', async () => {
    clock = createFakeClock();
    world = await startEdge({ bindings: [partialBinding(ProbeService, {})], clock, starting: true });
    expect(await check('')).toEqual({ serving: ServingStatus.NOT_SERVING, reason: 'STARTING' });
    expect(await check(PROBE)).toEqual({ serving: ServingStatus.NOT_SERVING, reason: 'STARTING' });
    world.server.markServing();
    expect(await check(PROBE)).toMatchObject({ serving: ServingStatus.SERVING });
  });

  test('is exported: services with reasons, and the age of the snapshot', async () => {
    await start();
    reasons = ['BROKER_DOWN'];
    await clock.advance(100);
    const text = await world.metrics.exposition();
    expect(text).toContain(`homeostat_service_serving{service="${PROBE}",reason="BROKER_DOWN"} 0`);
    expect(text).toContain('homeostat_service_serving{service="",reason=""} 1');
    expect(text).toContain('homeostat_health_age_seconds 0');
  });
});
