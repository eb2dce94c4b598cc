import { once } from 'node:events';
import { connect as connectHttp2 } from 'node:http2';
import { connect, createServer, type Socket } from 'node:net';
import { afterEach, describe, expect, test } from '@jest/globals';
import { pino } from 'pino';
import { createMetrics } from '../../src/observability.ts';
import { createRandom } from '../../src/random.ts';
import { NO_AUDIT } from '../../src/rpc/audit.ts';
import { UNLOADED } from '../../src/rpc/load-signals.ts';
import { createRpcServer } from '../../src/rpc/serve.ts';
import { createFakeClock } from '../support/fake-clock.ts';
import { type EdgeWorld, partialBinding, rpcConfig, startEdge, until, verifier } from './edge-world.ts';
import { type ProbeHandlers, ProbeService, probeBinding, probeClient } from './probe-contract.ts';

const worlds: EdgeWorld[] = [];
const sockets: Socket[] = [];
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  for (const world of worlds.splice(0)) await world.stop();
});

async function start(
  options: Partial<Parameters<typeof startEdge>[0]> = {},
  handlers: Partial<ProbeHandlers> = {},
) {
  const world = await startEdge({ bindings: [probeBinding(handlers)], ...options });
  worlds.push(world);
  return world;
}

/** A TCP connection that reads and drops what comes. */
async function dial(world: EdgeWorld): Promise<Socket> {
  const socket = connect(Number(world.address.split(':')[1]), '127.0.0.1');
  sockets.push(socket);
  socket.on('error', () => {}).resume();
  await once(socket, 'connect');
  return socket;
}

async function openConnections(world: EdgeWorld): Promise<number> {
  const text = await world.metrics.exposition();
  return Number(/homeostat_rpc_connections (\d+)/.exec(text)![1]);
}

describe('a server', () => {
  test('whose port is taken says so in one sentence', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    const { port } = other.address() as { port: number };
    const address = `127.0.0.1:${port}`;
    await expect(startEdge({ bindings: [], config: { address } })).rejects.toMatchObject({
      name: 'AppError',
      reason: 'ADDRESS_UNUSABLE',
      message: `gRPC cannot listen on ${address}: another process has the port; change HOMEOSTAT_GRPC_ADDRESS`,
    });
    other.close();
  });

  test('that could not start stops as one that never did', async () => {
    const clock = createFakeClock();
    const config = { ...rpcConfig, address: '192.0.2.1:0' };
    const server = createRpcServer({
      config,
      clock,
      logger: pino({ level: 'silent' }),
      metrics: createMetrics(),
      bindings: [],
      verifier,
      audit: NO_AUDIT,
      load: UNLOADED,
      random: createRandom(1),
      createRequestId: () => 'none',
      unavailable: () => [],
    });
    await expect(server.start()).rejects.toMatchObject({ reason: 'ADDRESS_UNUSABLE' });
    await server.stop(1_000);
    expect(clock.pending()).toBe(0);
  });

  test('told to listen where the machine is not says so', async () => {
    await expect(startEdge({ bindings: [], config: { address: '192.0.2.1:0' } })).rejects.toMatchObject({
      message: expect.stringContaining('this machine has no such address'),
    });
  });

  test('listens on IPv6 too', async () => {
    const world = await start({ config: { address: '[::1]:0' } }, { greet: () => ({ text: 'here' }) });
    expect(world.address).toMatch(/^\[::1\]:\d+$/);
    expect(await probeClient(world.channel).greet({})).toMatchObject({ text: 'here' });
  });

  test('refuses a service that lacks a handler, or a method without a policy', async () => {
    const binding = partialBinding(ProbeService, {});
    const { echo: _left, ...handlers } = binding.handlers;
    await expect(startEdge({ bindings: [{ ...binding, handlers }] })).rejects.toThrow(
      'homeostat.probe.v1.ProbeService/Echo has no handler',
    );
  });

  test('without reflection has none', async () => {
    const world = await start({ config: { reflection: false } });
    expect(world.server.health.services().map(({ service }) => service)).toEqual([
      '',
      'grpc.health.v1.Health',
      'homeostat.probe.v1.ProbeService',
    ]);
  });

  test('leaves no timers behind when it stops', async () => {
    const clock = createFakeClock();
    const world = await start({ clock }, { greet: () => ({}) });
    await probeClient(world.channel).greet({});
    await world.server.stop(1_000);
    expect(clock.pending()).toBe(0);
  });

  test('counts calls by method and code, and how long they took', async () => {
    const world = await start({}, { greet: () => ({}) });
    const probe = probeClient(world.channel);
    await probe.greet({});
    await probe.greet({});
    await expect(probe.greet({ text: 'much too long' })).rejects.toBeDefined();
    const text = await world.metrics.exposition();
    const at = 'service="homeostat.probe.v1.ProbeService",method="Greet"';
    expect(text).toContain(`homeostat_rpc_requests_total{${at},code="OK"} 2`);
    expect(text).toContain(`homeostat_rpc_requests_total{${at},code="INVALID_ARGUMENT"} 1`);
    expect(text).toContain(`homeostat_rpc_duration_seconds_bucket{${at},le="+Inf"} 3`);
    expect(text).toContain(`homeostat_rpc_duration_seconds_count{${at}} 3`);
    expect(text).toContain(`homeostat_rpc_in_flight{${at}} 0`);
  });
});

describe('connections', () => {
  test('over the limit of one address are closed, those within it serve', async () => {
    const world = await start(
      { config: { connectionsPerAddressMax: 2 } },
      { greet: () => ({ text: 'here' }) },
    );
    const first = await dial(world);
    await dial(world);
    await until(async () => (await openConnections(world)) === 2);
    const third = await dial(world);
    await until(() => third.destroyed);
    expect(await world.metrics.exposition()).toContain(
      'homeostat_rpc_connections_refused_total{reason="CONNECTIONS_PER_ADDRESS"} 1',
    );
    first.destroy();
    await until(async () => (await openConnections(world)) === 1);
    expect(await probeClient(world.channel).greet({})).toMatchObject({ text: 'here' });
  });

  test('over the limit of all are closed', async () => {
    const world = await start({ config: { connectionsMax: 1 } });
    await dial(world);
    await until(async () => (await openConnections(world)) === 1);
    const second = await dial(world);
    await until(() => second.destroyed);
    expect(await world.metrics.exposition()).toContain('refused_total{reason="CONNECTIONS"} 1');
  });

  test('that send nothing are closed, those that did are not', async () => {
    const clock = createFakeClock();
    const world = await start({ clock, config: { firstByteMs: 1_000 } }, { greet: () => ({ text: 'here' }) });
    const probe = probeClient(world.channel);
    await probe.greet({});
    const silent = await dial(world);
    await until(async () => (await openConnections(world)) === 2);
    await clock.advance(900);
    expect(silent.destroyed).toBe(false);
    await clock.advance(300);
    await until(() => silent.destroyed);
    expect(await openConnections(world)).toBe(1);
    expect(await probe.greet({})).toMatchObject({ text: 'here' });
  });

  test('over their age are asked to end, and clients go on over new ones', async () => {
    const world = await start({ config: { connectionAgeMs: 50 } }, { greet: () => ({ text: 'here' }) });
    const session = connectHttp2(`http://${world.address}`);
    session.on('error', () => {});
    await once(session, 'goaway');
    session.destroy();
    expect(await probeClient(world.channel).greet({})).toMatchObject({ text: 'here' });
  });

  test('allow only so many calls at a time', async () => {
    const world = await start({ config: { callsPerConnectionMax: 7 } });
    const session = connectHttp2(`http://${world.address}`);
    const [settings] = await once(session, 'remoteSettings');
    expect(settings).toMatchObject({
      maxConcurrentStreams: 7,
      maxHeaderListSize: rpcConfig.metadataBytesMax,
    });
    session.destroy();
  });

  test('that do not answer pings are closed', async () => {
    const world = await start({ config: { keepaliveMs: 20, keepaliveTimeoutMs: 30 } });
    const socket = await dial(world);
    socket.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
    socket.write(Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0])); // Empty SETTINGS, and then silence.
    await until(() => socket.destroyed);
    expect(await openConnections(world)).toBe(0);
  });
});
