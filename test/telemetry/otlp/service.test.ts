/** Exports handed in and accounted for, on a real broker and a real store. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { brokerFull, brokerOverloaded } from '../../../src/bus/errors.ts';
import { systemClock } from '../../../src/clock.ts';
import type { HttpRoute } from '../../../src/http/route.ts';
import { createOtlp } from '../../../src/telemetry/otlp/service.ts';
import { until } from '../../support/broker.ts';
import { startTelemetryWorld, type TelemetryWorld, type WorldOptions } from '../telemetry-world.ts';
import { encoded, gauge, point, request, resource, SHOP } from './exports.ts';

const stream = { domain: 'shop', cluster: 'cart' };
const never = new AbortController().signal;

const post = (world: TelemetryWorld, body: Parameters<HttpRoute['handle']>[0], signal = never) =>
  world.telemetry.routes[0]!.handle(body, signal) as Promise<{
    partialSuccess?: { rejectedDataPoints: bigint; errorMessage: string };
  }>;
const protobuf = (...given: Parameters<typeof request>) =>
  ({ bytes: encoded(request(...given)).protobuf, format: 'protobuf' }) as const;
const json = (...given: Parameters<typeof request>) =>
  ({ bytes: encoded(request(...given)).json, format: 'json' }) as const;

/** Three points of one node, one of them without a time. */
const sample = resource([gauge('g', [point(0, 1), point(1, 2), { ...point(2, 3), timeUnixNano: 0n }])]);

async function reportWith(world: TelemetryWorld, offered: bigint) {
  await until(async () => {
    try {
      return (await world.calls.getIngestReport({ stream })).samples!.offered === offered;
    } catch {
      return false; // Nothing was offered yet.
    }
  });
  return world.calls.getIngestReport({ stream });
}

describe('an export', () => {
  let world: TelemetryWorld;
  beforeAll(async () => {
    world = await startTelemetryWorld();
  });
  afterAll(() => world.stop());

  test('is answered with what was refused, and counts what was not; again, it is a duplicate', async () => {
    const partialSuccess = { rejectedDataPoints: 1n, errorMessage: 'g: the point has no time (1 point)' };
    expect(await post(world, protobuf(sample))).toEqual({ partialSuccess });
    expect(await post(world, json(sample))).toEqual({ partialSuccess });
    const { samples, messages, gaps, attributeOrigins } = await reportWith(world, 4n);
    expect(samples).toMatchObject({ accepted: 2n, duplicate: 2n, late: 0n, rejected: [] });
    expect(messages).toMatchObject({ offered: 2n, accepted: 1n, duplicate: 1n });
    expect(gaps).toMatchObject({ unsequencedMessages: 2n, open: 0n });
    expect(attributeOrigins).toMatchObject([
      {
        domainAttribute: 'service.namespace',
        clusterAttribute: 'service.name',
        nodeAttribute: 'host.name',
        messages: 1n,
      },
    ]);
    const exposition = await world.metrics.exposition();
    expect(exposition).toContain('homeostat_telemetry_otlp_points_total{outcome="taken"} 4');
    expect(exposition).toContain('homeostat_telemetry_otlp_points_total{outcome="refused_no_time"} 2');
  });

  test('of which nothing was refused is answered with nothing', async () => {
    expect(await post(world, json(resource([gauge('g', [point(3, 1)])])))).toEqual({});
    expect(await post(world, { bytes: new Uint8Array(0), format: 'protobuf' })).toEqual({});
  });

  test('tells where every node came from, also after a restart', async () => {
    const ways = [
      { ...SHOP, 'homeostat.node': 'n1' },
      { 'homeostat.domain': 'shop', 'homeostat.cluster': 'cart', 'host.id': 'h' },
      SHOP,
    ];
    for (const [at, way] of ways.entries())
      await post(world, protobuf(resource([gauge('g', [point(4 + at, 1)])], way)));
    await reportWith(world, 8n);
    await world.restart();
    const { attributeOrigins } = await world.calls.getIngestReport({ stream });
    expect(
      attributeOrigins.map((origin) => [
        origin.domainAttribute,
        origin.clusterAttribute,
        origin.nodeAttribute,
        origin.messages,
      ]),
    ).toEqual([
      ['service.namespace', 'service.name', 'host.name', 3n],
      ['service.namespace', 'service.name', 'homeostat.node', 1n],
      ['homeostat.domain', 'homeostat.cluster', 'host.id', 1n],
    ]);
  });

  test('that cannot be read is refused', async () => {
    for (const format of ['protobuf', 'json'] as const)
      await expect(post(world, { bytes: Uint8Array.from([7]), format })).rejects.toMatchObject({
        domain: 'homeostat.edge',
        reason: 'MALFORMED',
        kind: 'INVALID_ARGUMENT',
      });
  });

  test('of a caller who went away is not read', async () => {
    const gone = AbortSignal.abort(new Error('gone'));
    await expect(post(world, protobuf(sample), gone)).rejects.toThrow('gone');
  });
});

test('a large export lets the event loop turn while it is read, and is read before the next one', async () => {
  let elapsedMs = 0;
  const published: string[] = [];
  const bus = {
    async publishTelemetry(subject: string) {
      published.push(subject.split('.')[5]!);
      return published.length;
    },
  };
  // Every look at this clock finds a slice used up.
  const clock = { ...systemClock, monotonicMs: () => (elapsedMs += 1_000) };
  const otlp = createOtlp({ bus, clock, unavailable: () => [] });
  const exported = (node: string, metrics: number) =>
    otlp.route.handle(
      protobuf(
        resource(
          Array.from({ length: metrics }, (_, i) => gauge(`g${i}`, [point(0, i)])),
          { ...SHOP, 'host.name': node },
        ),
      ),
      never,
    );
  let turns = 0;
  let done = false;
  const large = exported('large', 100).then(() => {
    done = true;
  });
  const small = exported('small', 1);
  while (!done) {
    await new Promise((resolve) => setImmediate(resolve));
    turns++;
  }
  await Promise.all([large, small]);
  expect(turns).toBeGreaterThan(100);
  expect(published).toEqual(['large', 'small']);
});

describe('while the broker refuses', () => {
  const worldWith = (options: WorldOptions) => startTelemetryWorld(options);

  test('an export is UNAVAILABLE, and to be repeated: BROKER_DOWN', async () => {
    const world = await worldWith({});
    await world.bus.close();
    await expect(post(world, protobuf(sample))).rejects.toMatchObject({
      domain: 'homeostat.telemetry',
      reason: 'BROKER_DOWN',
      kind: 'UNAVAILABLE',
      retryAfterMs: 1_000,
    });
    expect(world.telemetry.services[1]!.unavailable!()).toEqual(['BROKER_DOWN']);
    await world.stop();
  });

  test('an export is UNAVAILABLE, and to be repeated: BROKER_OVERLOADED; what arrived counts once', async () => {
    let refusals = [brokerOverloaded(7), brokerFull('no space left')];
    let published = 0;
    const world = await worldWith({
      throughBus: (bus) => ({
        ...bus,
        connected: () => bus.connected(),
        publishTelemetry: (subject, payload) => {
          const refusal = published++ % 2 === 1 ? refusals.shift() : undefined;
          return refusal ? Promise.reject(refusal) : bus.publishTelemetry(subject, payload);
        },
      }),
    });
    const nodes = ['web-1', 'web-2', 'web-3'].map((host) =>
      resource([gauge('g', [point(0, 1)])], { ...SHOP, 'host.name': host }),
    );
    for (const _refusal of [1, 2])
      await expect(post(world, protobuf(...nodes))).rejects.toMatchObject({
        domain: 'homeostat.telemetry',
        reason: 'BROKER_OVERLOADED',
        kind: 'UNAVAILABLE',
        retryAfterMs: 1_000,
      });
    expect(refusals).toEqual([]);
    refusals = [];
    expect(await post(world, protobuf(...nodes))).toEqual({});
    // Of nine batches handed over, two were refused.
    const { samples } = await reportWith(world, 7n);
    expect(samples).toMatchObject({ accepted: 3n, duplicate: 4n, rejected: [] });
    await world.stop();
  });
});
