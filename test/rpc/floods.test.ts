/** What hostile or broken clients do to connections: they are cut off, and others do not notice. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect as connectHttp2, constants } from 'node:http2';
import { connect, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { afterEach, describe, expect, test } from '@jest/globals';
import type { RpcConfig } from '../../src/rpc/serve.ts';
import { type EdgeWorld, startEdge, TOKEN, until } from './edge-world.ts';
import { type ProbeHandlers, probeBinding, probeClient } from './probe-contract.ts';
import { framed, SERVICE } from './raw-client.ts';
import { CALL_HEADERS, END_HEADERS, FRAME, frame, framesOf, PREFACE } from './raw-frames.ts';

/** Where attackers come from; others come from 127.0.0.1. */
const ATTACKER = '127.0.0.2';

let world: EdgeWorld;
let child: ChildProcess | undefined;
const sockets: Socket[] = [];
afterEach(async () => {
  child?.kill('SIGKILL');
  child = undefined;
  for (const socket of sockets.splice(0)) socket.destroy();
  await world.stop();
});

async function start(handlers: Partial<ProbeHandlers> = {}, config: Partial<RpcConfig> = {}) {
  world = await startEdge({
    bindings: [probeBinding({ greet: () => ({ text: 'here' }), ...handlers })],
    config,
  });
  return probeClient(world.channel);
}

function dial(): Socket {
  const socket = connect({
    port: Number(world.address.split(':')[1]),
    host: '127.0.0.1',
    localAddress: ATTACKER,
  });
  sockets.push(socket);
  return socket.on('error', () => {});
}

const gauge = async (name: string) =>
  Number(new RegExp(`^${name} (\\d+)`, 'm').exec(await world.metrics.exposition())?.[1] ?? 0);

/** Begins and cancels calls, as many as it can until the connection ends. */
async function resetCalls(count: number): Promise<{ begun: number; goaway: number | undefined }> {
  const socket = dial();
  const received: Buffer[] = [];
  socket.on('data', (bytes: Buffer) => received.push(bytes));
  await once(socket, 'connect');
  socket.write(PREFACE);
  const cancel = Buffer.from([0, 0, 0, constants.NGHTTP2_CANCEL]);
  let begun = 0;
  while (begun < count && !socket.destroyed) {
    const frames: Buffer[] = [];
    for (let i = 0; i < 50 && begun < count; i++, begun++) {
      const id = 2 * begun + 1;
      frames.push(
        frame(FRAME.HEADERS, END_HEADERS, id, CALL_HEADERS),
        frame(FRAME.RST_STREAM, 0, id, cancel),
      );
    }
    await new Promise<void>((resolve) => {
      socket.once('close', () => resolve());
      socket.write(Buffer.concat(frames), () => setImmediate(resolve));
    });
  }
  const goaway = framesOf(Buffer.concat(received)).find(({ type }) => type === FRAME.GOAWAY);
  return { begun, goaway: goaway?.payload.readUInt32BE(4) };
}

describe('identity.E2 a flood of connections', () => {
  test('gets as many as one address may have, and others go on', async () => {
    const probe = await start({}, { connectionsPerAddressMax: 100 });
    await probe.greet({});
    const closed: Socket[] = [];
    for (let i = 0; i < 1_000; i++)
      dial()
        .on('close', function (this: Socket) {
          closed.push(this);
        })
        .resume();
    await until(() => closed.length === 900, '900 of them closed');
    expect(await gauge('homeostat_rpc_connections')).toBe(101);
    expect(await probe.greet({})).toMatchObject({ text: 'here' });
    expect(await probeClient(world.channelWith(TOKEN)).greet({})).toMatchObject({ text: 'here' });
  });

  test('that send nothing is cleared away', async () => {
    const probe = await start({}, { firstByteMs: 200 });
    const dialed = Array.from({ length: 100 }, () => dial().resume());
    await Promise.all(dialed.map((socket) => once(socket, 'close')));
    await until(async () => (await gauge('homeostat_rpc_connections')) === 0);
    const silent = 'homeostat_rpc_connections_refused_total\\{reason="FIRST_BYTE"\\}';
    expect(await gauge(silent)).toBe(100);
    expect(await probe.greet({})).toMatchObject({ text: 'here' });
  });
});

describe('identity.E2 a flood of canceled calls', () => {
  test('of some hundreds at once is borne', async () => {
    const probe = await start();
    expect(await resetCalls(450)).toEqual({ begun: 450, goaway: undefined });
    expect(await probe.greet({})).toMatchObject({ text: 'here' });
  });

  test('of more ends its connection, and others do not notice', async () => {
    const probe = await start();
    const attack = resetCalls(20_000);
    let over = false;
    void attack.finally(() => {
      over = true;
    });
    do expect(await probe.greet({})).toMatchObject({ text: 'here' });
    while (!over);
    const { begun, goaway } = await attack;
    expect(begun).toBeGreaterThanOrEqual(500);
    expect(begun).toBeLessThan(2_000);
    expect([constants.NGHTTP2_ENHANCE_YOUR_CALM, undefined]).toContain(goaway);
    await until(async () => (await gauge('homeostat_rpc_connections')) === 1);
    expect(await world.metrics.exposition()).toContain('connections_refused_total{reason="RESETS"} 1');
    expect(await probe.greet({})).toMatchObject({ text: 'here' });
  });

  test('that were answered before ends its connection at the latest when it is pinged', async () => {
    const probe = await start({}, { keepaliveMs: 300, keepaliveTimeoutMs: 300 });
    const socket = dial();
    const session = connectHttp2(`http://${world.address}`, { createConnection: () => socket });
    session.on('error', () => {});
    await once(session, 'remoteSettings');
    for (let begun = 0; begun < 3_000 && !session.destroyed; begun++) {
      const stream = session.request({ ':method': 'POST', ':path': `${SERVICE}/Greet` });
      stream.on('error', () => {});
      stream.close(constants.NGHTTP2_CANCEL); // Node half-closes first, so that it is answered.
      if (begun % 50 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    await until(() => session.destroyed);
    await until(async () => (await gauge('homeostat_rpc_connections')) <= 1);
    expect(await probe.greet({})).toMatchObject({ text: 'here' });
  });
});

describe('identity.E2 a flood of requests that never end', () => {
  const MIB = 1024 * 1024;
  /** Begins calls of a stranger's, each a byte short of a megabyte. */
  const beginAll = (count: number) => {
    const session = connectHttp2(`http://${world.address}`, { createConnection: dial });
    session.on('error', () => {});
    const codes: (number | undefined)[] = [];
    for (let i = 0; i < count; i++) {
      const stream = session.request({
        ':method': 'POST',
        ':path': `${SERVICE}/Echo`,
        'content-type': 'application/grpc',
        te: 'trailers',
      });
      stream.on('error', () => {});
      stream.on('close', () => codes.push(stream.rstCode));
      stream.write(framed(Buffer.alloc(MIB - 1), MIB));
    }
    return { session, codes };
  };

  test('holds so many bytes and no more, and others go on', async () => {
    const probe = await start({}, { unfinishedBytesMax: 8 * MIB });
    const { session, codes } = beginAll(40);
    await until(() => codes.length >= 32, 'those beyond it reset');
    expect(new Set(codes)).toEqual(new Set([constants.NGHTTP2_ENHANCE_YOUR_CALM]));
    expect(codes.length).toBeLessThan(40);
    expect(await world.metrics.exposition()).toMatch(/connections_refused_total{reason="UNFINISHED"} 3\d/);
    expect(await probe.greet({})).toMatchObject({ text: 'here' });
    session.destroy();
    await until(async () => (await gauge('homeostat_rpc_connections')) === 1);
    // Whatever was held is free again: requests nearly as large come in whole, and are looked at.
    const text = 'x'.repeat(7 * MIB);
    for (let i = 0; i < 3; i++)
      await expect(probe.greet({ text })).rejects.toMatchObject({ reason: 'FIELD_INVALID' });
  });

  test('is over for each of them when its time is', async () => {
    const probe = await start({}, { requestMs: 300 });
    const { codes } = beginAll(5);
    await until(() => codes.length === 5, 'all of them reset');
    expect(new Set(codes)).toEqual(new Set([constants.NGHTTP2_ENHANCE_YOUR_CALM]));
    expect(await probe.greet({})).toMatchObject({ text: 'here' });
  });

  test('is not seen in client streams, however long', async () => {
    const sum = async (requests: AsyncIterable<unknown>) => {
      let count = 0;
      for await (const _ of requests) count++;
      return { text: String(count) };
    };
    const probe = await start({ sum }, { unfinishedBytesMax: 64 * 1024 });
    async function* many() {
      for (let i = 0; i < 10_000; i++) yield { text: '12345678', number: i };
    }
    expect(await probe.sum(many())).toMatchObject({ text: '10000' });
    expect(await world.metrics.exposition()).not.toContain('reason="UNFINISHED"');
  });
});

test('identity.E2 calls that are answered or refused, however many, are not such a flood', async () => {
  const probe = await start({ count: async function* () {} }, { resetsMax: 5 });
  for (let i = 0; i < 30; i++) {
    await probe.greet({});
    await expect(probe.greet({ text: 'much too long' })).rejects.toMatchObject({ reason: 'FIELD_INVALID' });
    for await (const _ of probe.count({}));
    await expect(probe.count({ text: 'much too long' })[Symbol.asyncIterator]().next()).rejects.toBeDefined();
  }
  expect(await world.metrics.exposition()).not.toContain('reason="RESETS"');
});

describe('identity.E2 a client that was stopped in the middle of a stream', () => {
  test('is cut off, and others go on', async () => {
    let made = 0;
    const probe = await start(
      {
        count: async function* () {
          for (;;) {
            made++;
            yield { payload: new Uint8Array(64 * 1024) };
          }
        },
      },
      { stallMs: 300 },
    );
    const script = `
      const { connect } = require('node:http2');
      const stream = connect('http://${world.address}').request({
        ':method': 'POST', ':path': '${SERVICE}/Count', 'content-type': 'application/grpc', te: 'trailers',
        authorization: 'Bearer ${TOKEN}',
      });
      stream.on('error', () => {});
      stream.once('data', () => console.log('reading'));
      stream.on('data', () => {});
      stream.end(Buffer.alloc(5));
    `;
    child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
    await once(createInterface({ input: child.stdout! }), 'line');
    child.kill('SIGSTOP');
    await until(() => world.lines.some(({ reason }) => reason === 'SLOW_READER'), 'the stream cut off');
    const before = made;
    expect(await probe.greet({})).toMatchObject({ text: 'here' });
    expect(made).toBe(before);
  });
});
