import { once } from 'node:events';
import { connect as connectHttp2, constants } from 'node:http2';
import { connect } from 'node:net';
import { afterEach, describe, expect, test } from '@jest/globals';
import { RpcError } from '../../src/client/rpc-error.ts';
import { delay, systemClock } from '../../src/clock.ts';
import { AppError } from '../../src/errors.ts';
import type { Call } from '../../src/rpc/handler.ts';
import type { RpcConfig } from '../../src/rpc/serve.ts';
import { createFakeClock } from '../support/fake-clock.ts';
import { type EdgeWorld, type EdgeWorldOptions, startEdge, TOKEN, until } from './edge-world.ts';
import { type EchoRequest, type ProbeHandlers, probeBinding, probeClient } from './probe-contract.ts';

let world: EdgeWorld;
afterEach(() => world.stop());

async function start(
  handlers: Partial<ProbeHandlers>,
  config: Partial<RpcConfig> = {},
  options: Partial<EdgeWorldOptions> = {},
) {
  world = await startEdge({ bindings: [probeBinding(handlers)], config, ...options });
  return probeClient(world.channel);
}

async function* numbers(count: number): AsyncGenerator<{ text: string }> {
  for (let i = 0; i < count; i++) yield { text: String(i) };
}

async function* requests(...texts: string[]): AsyncGenerator<Partial<EchoRequest>> {
  for (const text of texts) yield { text };
}

/** Requests that never end by themselves. */
async function* open(...texts: string[]): AsyncGenerator<Partial<EchoRequest>> {
  yield* requests(...texts);
  await new Promise(() => {});
}

/** Everything a stream gives, and how it fails. */
async function drained(
  replies: AsyncIterable<{ text: string }>,
): Promise<{ texts: string[]; error?: RpcError }> {
  const texts: string[] = [];
  try {
    for await (const { text } of replies) texts.push(text);
    return { texts };
  } catch (error) {
    if (!(error instanceof RpcError)) throw error;
    return { texts, error };
  }
}

describe('a stream of replies', () => {
  test('arrives whole and in order', async () => {
    const probe = await start({ count: ({ number }) => numbers(number) });
    const { texts, error } = await drained(probe.count({ number: 500 }));
    expect(error).toBeUndefined();
    expect(texts).toEqual(Array.from({ length: 500 }, (_, i) => String(i)));
  });

  test('ends with the error its handler throws, after what came before', async () => {
    const probe = await start({
      count: async function* () {
        yield { text: 'one' };
        throw new AppError({
          domain: 'homeostat.probe',
          reason: 'GONE',
          kind: 'DATA_LOSS',
          message: 'range 3..4',
        });
      },
    });
    const { texts, error } = await drained(probe.count({}));
    expect(texts).toEqual(['one']);
    expect(error).toMatchObject({ code: 'DATA_LOSS', reason: 'GONE', message: 'GONE: range 3..4' });
  });

  test('is refused with a typed error before it begins', async () => {
    const probe = await start({ count: () => numbers(1) });
    expect((await drained(probe.count({ text: 'far too long' }))).error).toMatchObject({
      reason: 'FIELD_INVALID',
    });
    const stranger = probeClient(world.channelWith(undefined));
    expect((await drained(stranger.count({}))).error).toMatchObject({ reason: 'MISSING_CREDENTIALS' });
  });

  test('ends its generator when the client leaves', async () => {
    let ended = false;
    let signal: AbortSignal | undefined;
    const probe = await start({
      count: async function* (_request, call) {
        signal = call.signal;
        try {
          for (let i = 0; !call.signal.aborted; i++) {
            yield { text: String(i) };
            if (i === 2) await delay(systemClock, 60_000, call.signal);
          }
        } finally {
          ended = true;
        }
      },
    });
    for await (const { text } of probe.count({})) if (text === '2') break;
    await until(() => ended);
    expect(signal!.reason).toMatchObject({ reason: 'CANCELLED' });
    await until(() => world.lines.length > 0);
    expect(world.lines).toEqual([expect.objectContaining({ code: 'CANCELLED' })]);
  });

  test('waits for its reader', async () => {
    let made = 0;
    const probe = await start({
      count: async function* () {
        for (; made < 1_000; made++) yield { payload: new Uint8Array(64 * 1024) };
      },
    });
    const replies = probe.count({})[Symbol.asyncIterator]();
    await replies.next();
    const pulled = async () => {
      const before = made;
      await probe.sum(requests()).catch(() => {}); // A round trip on the same connection.
      return made - before;
    };
    await until(async () => (await pulled()) === 0);
    expect(made).toBeLessThan(100); // What the windows and buffers between hold, of 1,000.
    await replies.return!();
  });

  test('that its reader does not take in time ends with SLOW_READER, and others go on', async () => {
    const clock = createFakeClock();
    const probe = await start(
      {
        count: async function* ({ number }) {
          for (let i = 0; i < number; i++) yield { payload: new Uint8Array(1024 * 1024) };
        },
        echo: () => ({ text: 'here' }),
      },
      { stallMs: 1_000 },
      { clock },
    );
    const { stream, session } = stalledStream(
      '/homeostat.probe.v1.ProbeService/Count',
      Buffer.from([0x10, 0x08]),
    );
    await once(stream, 'response');
    await clock.advance(900);
    expect(world.lines).toEqual([]);
    await clock.advance(200);
    expect(world.lines).toEqual([
      expect.objectContaining({ code: 'RESOURCE_EXHAUSTED', reason: 'SLOW_READER' }),
    ]);
    expect(await probe.echo({})).toMatchObject({ text: 'here' });
    // One that begins to read in time is told so in words.
    const trailers = once(stream, 'trailers');
    stream.resume();
    expect((await trailers)[0]).toMatchObject({ 'grpc-status': '8' });
    session.destroy();
  });

  test('that its reader never takes is reset, and its memory let go', async () => {
    const clock = createFakeClock();
    await start(
      {
        count: async function* () {
          yield { payload: new Uint8Array(1024 * 1024) };
        },
      },
      { stallMs: 1_000 },
      { clock },
    );
    const { stream, session } = stalledStream('/homeostat.probe.v1.ProbeService/Count', Buffer.alloc(0));
    await once(stream, 'response');
    const failed = once(stream, 'close').catch((error: Error) => error.message);
    await clock.advance(2_100);
    expect(await failed).toContain('ENHANCE_YOUR_CALM');
    expect(stream.rstCode).toBe(constants.NGHTTP2_ENHANCE_YOUR_CALM);
    session.destroy();
  });

  test('of a long message has its time for each part of it', async () => {
    const clock = createFakeClock();
    await start(
      {
        count: async function* () {
          yield { payload: new Uint8Array(1024 * 1024) };
        },
      },
      { stallMs: 1_000, unsentBytesMax: 512 * 1024 },
      { clock },
    );
    const { stream, session } = stalledStream('/homeostat.probe.v1.ProbeService/Count', Buffer.alloc(0));
    await once(stream, 'response');
    await clock.advance(2_900);
    expect(world.lines).toEqual([]);
    await clock.advance(200);
    expect(world.lines).toHaveLength(1);
    session.destroy();
  });

  test('is refused when too many are under way', async () => {
    const probe = await start({ count: (_request, call) => untilAborted(call) }, { streamsMax: 2 });
    const first = probe.count({})[Symbol.asyncIterator]();
    const second = probe.count({})[Symbol.asyncIterator]();
    await Promise.all([first.next(), second.next()]);
    expect((await drained(probe.count({}))).error).toMatchObject({
      code: 'RESOURCE_EXHAUSTED',
      reason: 'OVERLOADED',
      metadata: { cause: 'STREAMS', criticality: 'NORMAL' },
      retryAfterMs: 1_000,
    });
    await first.return!();
    await until(() => world.lines.some((line) => line['code'] === 'CANCELLED'));
    expect((await probe.count({})[Symbol.asyncIterator]().next()).done).toBe(false);
    await second.return!();
  });
});

/** A stream whose client has said that it takes nothing more than a window. */
function stalledStream(path: string, message: Buffer) {
  const session = connectHttp2(`http://${world.address}`);
  session.on('error', () => {});
  const stream = session.request({
    ':method': 'POST',
    ':path': path,
    'content-type': 'application/grpc',
    te: 'trailers',
    authorization: `Bearer ${TOKEN}`,
  });
  stream.pause();
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  stream.end(Buffer.concat([head, message]));
  return { session, stream };
}

async function* untilAborted(call: Call): AsyncGenerator<{ text: string }> {
  yield { text: 'here' };
  await delay(systemClock, 60_000, call.signal);
}

describe('a stream of requests', () => {
  test('is read to its end by its handler', async () => {
    const probe = await start({
      sum: async (given) => {
        let text = '';
        for await (const request of given) text += request.text;
        return { text };
      },
    });
    expect(await probe.sum(requests('a', 'b', 'c'))).toMatchObject({ text: 'abc' });
    expect(await probe.sum(requests())).toMatchObject({ text: '' });
  });

  test('may be answered before its end', async () => {
    const probe = await start({
      sum: async (given) => {
        for await (const { text } of given) return { text };
        return {};
      },
    });
    expect(await probe.sum(open('first', 'second'))).toMatchObject({ text: 'first' });
  });

  test('ends with the first request that breaks a rule', async () => {
    const seen: string[] = [];
    const probe = await start({
      sum: async (given) => {
        for await (const { text } of given) seen.push(text);
        return {};
      },
    });
    await expect(probe.sum(requests('good', 'not so good', 'late'))).rejects.toMatchObject({
      reason: 'FIELD_INVALID',
      violations: [{ field: 'text' }],
    });
    expect(seen).toEqual(['good']);
  });

  test('is handed over unchecked to a handler that checks by itself', async () => {
    const binding = probeBinding({
      chat: async function* (given: AsyncIterable<EchoRequest>) {
        for await (const { text } of given) yield { text: text.length > 8 ? 'REJECTED' : 'STORED' };
      },
    });
    world = await startEdge({ bindings: [{ ...binding, selfChecking: ['chat'] }] });
    const { texts } = await drained(probeClient(world.channel).chat(requests('good', 'not so good', 'fine')));
    expect(texts).toEqual(['STORED', 'REJECTED', 'STORED']);
  });
});

describe('a stream both ways', () => {
  test('answers each request as it comes', async () => {
    const probe = await start({
      chat: async function* (given) {
        for await (const { text } of given) yield { text: text.toUpperCase() };
      },
    });
    let release = () => {};
    const asked = async function* () {
      yield { text: 'one' };
      await new Promise<void>((resolve) => {
        release = resolve;
      });
      yield { text: 'two' };
    };
    const texts: string[] = [];
    for await (const { text } of probe.chat(asked())) {
      texts.push(text);
      release();
    }
    expect(texts).toEqual(['ONE', 'TWO']);
  });

  test('ends for its handler when the client leaves', async () => {
    let ended = false;
    const probe = await start({
      chat: async function* (given) {
        try {
          for await (const { text } of given) yield { text };
        } finally {
          ended = true;
        }
      },
    });
    for await (const _ of probe.chat(open('one'))) break;
    await until(() => ended);
  });

  test('throws CANCELLED at a handler that waits for the next request when the connection is lost', async () => {
    let reading = false;
    let thrown: unknown;
    await start({
      // biome-ignore lint/correctness/useYield: it only reads.
      chat: async function* (given) {
        reading = true;
        try {
          for await (const _ of given);
          thrown = 'the requests ended';
        } catch (error) {
          thrown = error;
        }
      },
    });
    const socket = connect(Number(world.address.split(':')[1]), '127.0.0.1');
    const session = connectHttp2(`http://${world.address}`, { createConnection: () => socket });
    const stream = session.request({
      ':method': 'POST',
      ':path': '/homeostat.probe.v1.ProbeService/Chat',
      'content-type': 'application/grpc',
      te: 'trailers',
      authorization: `Bearer ${TOKEN}`,
    });
    stream.on('error', () => {});
    session.on('error', () => {});
    stream.write(Buffer.alloc(5));
    await until(() => reading);
    socket.destroy();
    await until(() => thrown !== undefined);
    expect(thrown).toMatchObject({ reason: 'CANCELLED' });
  });

  test('fails for its client when its handler fails', async () => {
    const probe = await start({
      // biome-ignore lint/correctness/useYield: it fails first.
      chat: async function* () {
        throw new Error('broken');
      },
    });
    expect((await drained(probe.chat(open()))).error).toMatchObject({ code: 'INTERNAL' });
  });
});

describe('draining', () => {
  test('refuses new calls, lets unary ones finish, asks streams to end, and says so in health', async () => {
    let finish: (() => void) | undefined;
    const probe = await start({
      echo: ({ text }) =>
        new Promise((resolve) => {
          finish = () => resolve({ text });
        }),
      count: (_request, call) => untilAborted(call),
      chat: async function* (given) {
        for await (const { text } of given) yield { text };
      },
    });
    const unary = probe.echo({ text: 'last' });
    const watching = probe.count({})[Symbol.asyncIterator]();
    const chatting = probe.chat(open('one'))[Symbol.asyncIterator]();
    await Promise.all([watching.next(), chatting.next(), until(() => finish !== undefined)]);
    const stopped = world.server.stop(10_000);
    await expect(probe.greet({})).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      reason: 'DRAINING',
      retryAfterMs: 1_000,
    });
    await expect(watching.next()).rejects.toMatchObject({ code: 'UNAVAILABLE', reason: 'DRAINING' });
    await expect(chatting.next()).rejects.toMatchObject({ code: 'UNAVAILABLE', reason: 'DRAINING' });
    expect(world.server.health.serving()).toBe(false);
    expect(world.server.health.services()[0]).toMatchObject({ service: '', reasons: ['DRAINING'] });
    finish!();
    expect(await unary).toMatchObject({ text: 'last' });
    await stopped;
    await expect(probeClient(world.channelWith(TOKEN)).greet({}, { timeoutMs: 500 })).rejects.toMatchObject({
      code: 'UNAVAILABLE',
    });
  });

  test('ends what is still under way when its time is over', async () => {
    let called = false;
    const probe = await start({
      echo: () => {
        called = true;
        return new Promise(() => {});
      },
    });
    const unary = probe.echo({});
    unary.catch(() => {});
    await until(() => called);
    await world.server.stop(50);
    await expect(unary).rejects.toMatchObject({ code: 'UNAVAILABLE', reason: 'DRAINING' });
  });
});
