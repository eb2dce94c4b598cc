/** Each limit of the edge, just within and just beyond: within passes, beyond is a typed refusal. */

import { once } from 'node:events';
import { afterEach, describe, expect, test } from '@jest/globals';
import type { RpcError } from '../../src/client/rpc-error.ts';
import { UNLOADED } from '../../src/rpc/load-signals.ts';
import type { RpcConfig } from '../../src/rpc/serve.ts';
import { createFakeClock } from '../support/fake-clock.ts';
import { type EdgeWorld, type EdgeWorldOptions, startEdge, TOKEN, until } from './edge-world.ts';
import { type ProbeHandlers, probeBinding, probeClient } from './probe-contract.ts';
import { answerOf, beginCall, framed, openSession, SERVICE } from './raw-client.ts';

let world: EdgeWorld;
const closers: (() => void)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0)) close();
  await world.stop();
});

async function start(
  handlers: Partial<ProbeHandlers>,
  config: Partial<RpcConfig> = {},
  options: Partial<EdgeWorldOptions> = {},
) {
  world = await startEdge({ bindings: [probeBinding(handlers)], config, ...options });
  return probeClient(world.channel);
}

function session() {
  const opened = openSession(world.address);
  closers.push(() => opened.destroy());
  return opened;
}

const failure = (call: Promise<unknown>) =>
  call.then(
    () => Promise.reject(new Error('the call was answered')),
    (error: RpcError) => error,
  );

/** Calls that answer when they are let go. */
function gated() {
  let letGo = () => {};
  const gate = new Promise<void>((resolve) => {
    letGo = resolve;
  });
  const state = { count: 0, letGo };
  const handler = async () => {
    state.count++;
    await gate;
    return {};
  };
  return { state, handler };
}

describe('identity.E4 a limit', () => {
  test('of received bytes', async () => {
    await start({ echo: () => ({}) }, { receiveBytesMax: 1_000 });
    const padded = (size: number) =>
      framed(Buffer.concat([Buffer.from([0x52, 0xe5, 0x07]), Buffer.alloc(size - 3)]));
    const status = async (size: number) => {
      const stream = beginCall(session(), `${SERVICE}/Echo`);
      stream.end(padded(size));
      return (await answerOf(stream))['grpc-status'];
    };
    expect([await status(1_000), await status(1_001)]).toEqual(['0', '8']);
  });

  test('of sent bytes', async () => {
    const reply = { echo: ({ number }: { number: number }) => ({ payload: new Uint8Array(number) }) };
    const probe = await start(reply, { sendBytesMax: 1_003 });
    expect((await probe.echo({ number: 1_000 })).payload).toHaveLength(1_000);
    expect(await failure(probe.echo({ number: 1_001 }))).toMatchObject({ reason: 'REPLY_TOO_LARGE' });
  });

  test('of metadata, which is names, values and 32 bytes for each pair', async () => {
    await start({ greet: () => ({}) }, { metadataBytesMax: 2_000 });
    const fixed = {
      ':method': 'POST',
      ':path': `${SERVICE}/Greet`,
      ':scheme': 'http',
      ':authority': world.address,
      'content-type': 'application/grpc',
      te: 'trailers',
      authorization: `Bearer ${TOKEN}`,
      'x-long': '',
    };
    const used = Object.entries(fixed).reduce(
      (sum, [name, value]) => sum + name.length + value.length + 32,
      0,
    );
    const status = async (size: number) => {
      const opened = session();
      await once(opened, 'remoteSettings');
      // Node's own client counts otherwise, and would not send what is too long.
      const stream = beginCall(opened, `${SERVICE}/Greet`, { 'x-long': 'x'.repeat(size - used) });
      stream.end(framed(Buffer.alloc(0)));
      return answerOf(stream);
    };
    expect(await status(2_000)).toMatchObject({ 'grpc-status': '0' });
    expect((await status(2_001))['grpc-status']).toBeUndefined();
  });

  test.each([
    ['the default one', {}],
    ['the longest one', { 'grpc-timeout': '3600S' }],
  ])('of time: %s', async (_what, headers) => {
    const clock = createFakeClock();
    const { state, handler } = gated();
    await start({ echo: handler }, { deadlineMs: 500, deadlineMaxMs: 500 }, { clock });
    const call = beginCall(session(), `${SERVICE}/Echo`, headers);
    call.end(framed(Buffer.alloc(0)));
    const answer = answerOf(call);
    await until(() => state.count === 1);
    await clock.advance(499);
    expect(world.lines).toEqual([]);
    await clock.advance(51); // The next look at what is under way.
    expect(await answer).toMatchObject({ 'grpc-status': '4' });
    expect(world.lines).toEqual([expect.objectContaining({ reason: 'DEADLINE' })]);
    state.letGo();
  });

  test('of streams under way', async () => {
    const { state, handler } = gated();
    const hold = async function* () {
      await handler();
      yield {};
    };
    const probe = await start({ count: hold }, { streamsMax: 3 });
    const open = () => probe.count({})[Symbol.asyncIterator]().next();
    const held = [open(), open(), open()];
    await until(() => state.count === 3);
    expect(await failure(open())).toMatchObject({
      code: 'RESOURCE_EXHAUSTED',
      reason: 'OVERLOADED',
      metadata: { cause: 'STREAMS' },
    });
    state.letGo();
    await Promise.all(held);
  });

  test('of calls in flight, where the queue ends: 120 for critical ones', async () => {
    const { state, handler } = gated();
    const clock = createFakeClock(Date.now());
    const probe = await start({ beat: handler }, { callsPerConnectionMax: 1_000 }, { clock });
    const held = Array.from({ length: 120 }, () => probe.beat({}));
    await until(() => state.count === 120, '120 calls in flight');
    expect(await failure(probe.beat({}))).toMatchObject({
      code: 'RESOURCE_EXHAUSTED',
      reason: 'OVERLOADED',
      metadata: { cause: 'CONCURRENCY', criticality: 'CRITICAL' },
    });
    expect(await world.metrics.exposition()).toContain(
      'homeostat_rpc_shed_total{criticality="CRITICAL",reason="CONCURRENCY"} 1',
    );
    state.letGo();
    await Promise.all(held);
    expect(await probe.beat({})).toBeDefined();
  });

  test('of tokens, whatever their unit', async () => {
    const probe = await start(
      { echo: () => ({}), weigh: () => ({}) },
      { tokensPerMinute: { FREE: 100, PRO: 100, ENTERPRISE: 100 } },
      { clock: createFakeClock() }, // A token comes back in less than the calls may take.
    );
    const items = (count: number) => ({ items: new Array<number>(count).fill(1) });
    await probe.weigh(items(990)); // 99 of 100.
    expect(await failure(probe.weigh(items(1)))).toMatchObject({
      code: 'RESOURCE_EXHAUSTED',
      reason: 'RATE_LIMITED',
      metadata: { tier: 'ENTERPRISE', cost: '2' },
    });
    for (let i = 0; i < 100; i++) await probe.echo({});
    expect(await failure(probe.echo({}))).toMatchObject({ reason: 'RATE_LIMITED', metadata: { cost: '1' } });
    const text = await world.metrics.exposition();
    expect(text).toContain('homeostat_rate_limited_total{tier="ENTERPRISE"} 2');
    expect(text).toMatch(/^homeostat_rate_buckets 3$/m);
  });
});

describe('what counts items', () => {
  test('is decoded before it is charged, and checked after: what is malformed costs nothing', async () => {
    const config = { tokensPerMinute: { FREE: 4, PRO: 4, ENTERPRISE: 4 } };
    const probe = await start({ weigh: () => ({}) }, config);
    const malformed = beginCall(session(), `${SERVICE}/Weigh`);
    malformed.end(framed(Buffer.from([0x0a, 0x05])));
    expect(await answerOf(malformed)).toMatchObject({ 'grpc-status': '3' });
    // Breaks a rule, and costs more than the bucket holds: it is let in by the full one, and then refused.
    const tooMany = { items: new Array<number>(2_001).fill(1) };
    expect(await failure(probe.weigh(tooMany))).toMatchObject({ reason: 'FIELD_INVALID' });
    expect(await failure(probe.weigh({ items: [] }))).toMatchObject({ reason: 'RATE_LIMITED' });
  });
});

describe('health', () => {
  test('costs no tokens', async () => {
    await start({}, { tokensPerMinute: { FREE: 1, PRO: 1, ENTERPRISE: 1 } });
    for (let i = 0; i < 50; i++) {
      const stream = beginCall(session(), '/grpc.health.v1.Health/Check', { authorization: '' });
      stream.end(framed(Buffer.alloc(0)));
      expect(await answerOf(stream)).toMatchObject({ 'grpc-status': '0' });
    }
  });
});

describe('an overloaded server', () => {
  test('refuses before it looks at credentials, and tells when to come again', async () => {
    const clock = createFakeClock();
    const load = { ...UNLOADED, heapShare: () => 0.95 };
    const probe = await start(
      { greet: () => ({}), beat: () => ({}), record: () => ({}) },
      {},
      { clock, load },
    );
    await clock.advance(500);
    const stranger = probeClient(world.channelWith(undefined));
    for (const refused of [probe.record({}), stranger.echo({}), probe.greet({})])
      expect(await failure(refused)).toMatchObject({
        code: 'RESOURCE_EXHAUSTED',
        domain: 'homeostat.edge',
        reason: 'OVERLOADED',
        metadata: { cause: 'HEAP' },
        retryAfterMs: expect.any(Number),
      });
    expect(await probe.beat({})).toBeDefined();
    const text = await world.metrics.exposition();
    expect(text).toContain('homeostat_overload_ratio 1');
    expect(text).toContain('homeostat_rpc_limit 100');
    expect(text).toContain('homeostat_event_loop_delay_seconds 0');
    expect(text).toContain('homeostat_rpc_shed_total{criticality="HIGH",reason="HEAP"} 1');
    expect(text).toContain('homeostat_rpc_shed_total{criticality="NORMAL",reason="HEAP"} 2');
  });

  test('takes a caller by its word that its call matters less', async () => {
    const clock = createFakeClock();
    const load = { ...UNLOADED, heapShare: () => 0.83 };
    const probe = await start({ record: () => ({}) }, {}, { clock, load });
    await clock.advance(500);
    expect(await probe.record({})).toBeDefined();
    const headers = { 'homeostat-criticality': 'BULK' };
    expect(await failure(probe.record({}, { headers }))).toMatchObject({ metadata: { criticality: 'BULK' } });
  });
});
