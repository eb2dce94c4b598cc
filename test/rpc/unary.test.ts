import { connect as connectHttp2 } from 'node:http2';
import { connect } from 'node:net';
import { afterEach, describe, expect, test } from '@jest/globals';
import { RpcError } from '../../src/client/rpc-error.ts';
import { AppError } from '../../src/errors.ts';
import { identityError } from '../../src/rpc/errors.ts';
import type { Call } from '../../src/rpc/handler.ts';
import type { RpcConfig } from '../../src/rpc/serve.ts';
import { principalOf } from '../support/calls.ts';
import { createFakeClock } from '../support/fake-clock.ts';
import {
  type EdgeWorld,
  type EdgeWorldOptions,
  READER_TOKEN,
  startEdge,
  TOKEN,
  until,
} from './edge-world.ts';
import { type ProbeHandlers, probeBinding, probeClient } from './probe-contract.ts';

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

/** The error a call fails with. */
async function failure(call: Promise<unknown>): Promise<RpcError> {
  const error = await call.then(
    () => new Error('the call succeeded'),
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof RpcError)) throw error;
  return error;
}

/** Calls a path with raw bytes and gives the trailers, or the headers where there are only those. */
function callRaw(path: string, body: Buffer, headers: Record<string, string> = {}) {
  return new Promise<Record<string, unknown>>((resolve, reject) => {
    const session = connectHttp2(`http://${world.address}`);
    session.on('error', reject);
    const stream = session.request({
      ':method': 'POST',
      ':path': path,
      'content-type': 'application/grpc',
      te: 'trailers',
      authorization: `Bearer ${TOKEN}`,
      ...headers,
    });
    let answer: Record<string, unknown> = {};
    stream.on('response', (given) => {
      answer = given;
    });
    stream.on('trailers', (given) => {
      answer = { ...answer, ...given };
    });
    stream.on('error', (error) => {
      answer = { ...answer, error: error.message, rstCode: stream.rstCode };
    });
    stream.on('close', () => {
      session.destroy();
      resolve(answer);
    });
    stream.resume();
    stream.end(body);
  });
}

const frame = (message: Uint8Array, lengthGiven = message.length) => {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(lengthGiven, 1);
  return Buffer.concat([head, message]);
};
const ECHO = '/homeostat.probe.v1.ProbeService/Echo';

describe('a unary call', () => {
  test('is answered by its handler, which knows who calls', async () => {
    const probe = await start({ echo: ({ text }, { principal }) => ({ text: `${principal.id}: ${text}` }) });
    expect(await probe.echo({ text: 'hello' })).toMatchObject({ text: 'admin: hello' });
  });

  test('waits for a handler that answers later', async () => {
    const probe = await start({ echo: async ({ number }) => ({ text: String(number) }) });
    expect(await probe.echo({ number: 7 })).toMatchObject({ text: '7' });
  });

  test('gives its handler a request id and the trace context, if it is one', async () => {
    const probe = await start({
      echo: (_request, call) => ({ text: `${call.requestId} ${call.requestId} ${call.traceparent}` }),
    });
    const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
    const headers = { traceparent };
    expect((await probe.echo({}, { headers })).text).toBe(`request-1 request-1 ${traceparent}`);
    expect((await probe.echo({}, { headers: { traceparent: 'x y' } })).text).toContain('undefined');
  });

  test('that throws an AppError carries it whole', async () => {
    const details = { retryAfterMs: 1500 };
    const at = { domain: 'homeostat.probe', reason: 'QUEUE_FULL', kind: 'RESOURCE_EXHAUSTED' } as const;
    const probe = await start({
      echo: () => {
        throw new AppError({ ...at, message: 'the queue holds 3' }, { size: '3' }, details);
      },
    });
    const error = await failure(probe.echo({}));
    expect(error).toMatchObject({
      code: 'RESOURCE_EXHAUSTED',
      domain: 'homeostat.probe',
      reason: 'QUEUE_FULL',
      metadata: { size: '3' },
      retryAfterMs: 1500,
      message: 'QUEUE_FULL: the queue holds 3',
    });
    expect(world.lines).toEqual([
      expect.objectContaining({
        msg: 'call refused',
        reason: 'QUEUE_FULL',
        principal: 'admin',
        method: ECHO,
      }),
    ]);
  });

  test('that throws anything else is INTERNAL with a request id, and the cause is only in the log, once', async () => {
    const probe = await start({
      echo: async () => {
        throw new Error('disk /secret/path broke');
      },
    });
    const error = await failure(probe.echo({}));
    expect(error).toMatchObject({
      code: 'INTERNAL',
      reason: 'INTERNAL',
      metadata: { request_id: 'request-1' },
    });
    expect(JSON.stringify(error)).not.toContain('secret');
    expect(world.lines.filter((line) => JSON.stringify(line).includes('/secret/path'))).toHaveLength(1);
    expect(world.lines[0]).toMatchObject({ level: 50, request: 'request-1', msg: 'call failed' });
  });

  test('that succeeds quickly leaves no log line; an audited one and a slow one do', async () => {
    const clock = createFakeClock();
    const probe = await start(
      {
        echo: async ({ number }) => {
          await clock.advance(number);
          return {};
        },
        record: () => ({}),
      },
      {},
      { clock },
    );
    await probe.echo({ number: 999 });
    expect(world.lines).toEqual([]);
    await probe.record({});
    await probe.echo({ number: 1_001 });
    expect(world.lines.map((line) => [line['method'], line['duration_ms'], line['code']])).toEqual([
      ['/homeostat.probe.v1.ProbeService/Record', 0, 'OK'],
      [ECHO, 1_001, 'OK'],
    ]);
  });
});

describe('deadlines and cancellation', () => {
  test('a call without a deadline is ended by the default one, and its signal aborts', async () => {
    const clock = createFakeClock();
    let signal: AbortSignal | undefined;
    const probe = await start(
      {
        echo: (_request, call) => {
          signal = call.signal;
          return new Promise(() => {});
        },
      },
      { deadlineMs: 200 },
      { clock },
    );
    const failed = callRaw(ECHO, frame(new Uint8Array(0)));
    await until(() => signal !== undefined);
    await clock.advance(199);
    expect(signal!.aborted).toBe(false);
    await clock.advance(51);
    expect(signal!.aborted).toBe(true);
    expect(signal!.reason).toMatchObject({ reason: 'DEADLINE' });
    expect(await failed).toMatchObject({
      'grpc-status': '4',
      'grpc-message': 'DEADLINE:%20the%20deadline%20passed',
    });
    expect(probe).toBeDefined();
  });

  test('a longer deadline than the longest allowed is cut', async () => {
    const clock = createFakeClock();
    let entered = false;
    await start(
      {
        echo: () => {
          entered = true;
          return new Promise(() => {});
        },
      },
      { deadlineMs: 100, deadlineMaxMs: 500 },
      { clock },
    );
    const failed = callRaw(ECHO, frame(new Uint8Array(0)), { 'grpc-timeout': '3600S' });
    await until(() => entered);
    await clock.advance(450); // Past the default, which is for those that bring none.
    expect(world.lines).toEqual([]);
    await clock.advance(100);
    expect(await failed).toMatchObject({ 'grpc-status': '4' });
  });

  test("the client's own deadline aborts the signal with DEADLINE", async () => {
    let signal: AbortSignal | undefined;
    const probe = await start({
      echo: (_request, call) => {
        signal = call.signal;
        return new Promise(() => {});
      },
    });
    expect(await failure(probe.echo({}, { timeoutMs: 100 }))).toMatchObject({ code: 'DEADLINE_EXCEEDED' });
    await until(() => signal?.aborted === true);
    expect(signal!.reason).toMatchObject({ reason: 'DEADLINE' });
  });

  test('a cancel by the client aborts the signal with CANCELLED and is counted', async () => {
    let signal: AbortSignal | undefined;
    const probe = await start({
      echo: (_request, call) => {
        signal = call.signal;
        return new Promise(() => {});
      },
    });
    const giveUp = new AbortController();
    const failed = failure(probe.echo({}, { signal: giveUp.signal }));
    await until(() => signal !== undefined);
    giveUp.abort();
    expect(await failed).toMatchObject({ code: 'CANCELLED' });
    await until(() => signal!.aborted);
    expect(signal!.reason).toMatchObject({ reason: 'CANCELLED' });
    expect(await world.metrics.exposition()).toContain(
      'homeostat_rpc_requests_total{service="homeostat.probe.v1.ProbeService",method="Echo",code="CANCELLED"} 1',
    );
  });

  test('a handler that only asks now and then learns of the cancel, and the call is counted once', async () => {
    let asked: Call | undefined;
    const probe = await start({
      greet: () => ({}),
      echo: (_request, call) => {
        call.throwIfAborted(); // Nothing to say yet.
        asked = call;
        return new Promise(() => {});
      },
    });
    const giveUp = new AbortController();
    const failed = failure(probe.echo({}, { signal: giveUp.signal }));
    await until(() => asked !== undefined);
    giveUp.abort();
    await failed;
    await probe.greet({}); // On the same connection, so the server has read the cancel before it.
    for (let again = 0; again < 2; again++)
      expect(() => asked!.throwIfAborted()).toThrow(expect.objectContaining({ reason: 'CANCELLED' }));
    expect(await world.metrics.exposition()).toContain(
      'homeostat_rpc_requests_total{service="homeostat.probe.v1.ProbeService",method="Echo",code="CANCELLED"} 1',
    );
  });

  test('a handler that never asks for the signal is found cancelled when it is done', async () => {
    let finish: (() => void) | undefined;
    const probe = await start({
      greet: () => ({}),
      echo: () =>
        new Promise((resolve) => {
          finish = () => resolve({});
        }),
    });
    const giveUp = new AbortController();
    const failed = failure(probe.echo({}, { signal: giveUp.signal }));
    await until(() => finish !== undefined);
    giveUp.abort();
    await failed;
    await probe.greet({}); // On the same connection, so the server has read the cancel before it.
    finish!();
    await until(() => world.lines.length > 0);
    expect(world.lines[0]).toMatchObject({ code: 'CANCELLED' });
  });
});

describe('credentials and permissions', () => {
  test.each([
    ['no credentials', undefined, 'MISSING_CREDENTIALS', 'UNAUTHENTICATED'],
    ['an unknown token', 'nobody', 'BAD_TOKEN', 'UNAUTHENTICATED'],
    ['a token of two words', 'one two', 'BAD_TOKEN', 'UNAUTHENTICATED'],
    ['no permission', READER_TOKEN, 'NO_PERMISSION', 'PERMISSION_DENIED'],
  ])('a call with %s is refused before it is decoded', async (_what, token, reason, code) => {
    await start({ echo: () => ({}) });
    const client = probeClient(world.channelWith(token));
    const error = await failure(client.echo({ text: 'much too long' }));
    expect(error).toMatchObject({ reason, code, domain: 'homeostat.identity' });
    expect(await world.metrics.exposition()).toContain(`homeostat_auth_failures_total{reason="${reason}"} 1`);
  });

  test('credentials of another scheme are bad ones', async () => {
    await start({ echo: () => ({}) });
    expect(await callRaw(ECHO, frame(new Uint8Array(0)), { authorization: 'Basic YTpi' })).toMatchObject({
      'grpc-status': '16',
    });
  });

  test('a public method needs none', async () => {
    await start({ greet: (_request, { principal }) => ({ text: `you are ${principal.id || 'nobody'}` }) });
    const client = probeClient(world.channelWith(undefined));
    expect((await client.greet({})).text).toBe('you are nobody');
  });

  test('a verifier may answer later, and may refuse in its own words', async () => {
    const verify = async (token: string | undefined) => {
      if (token === 'expired') throw identityError('TOKEN_EXPIRED', {});
      return principalOf(token!, 'probe.*');
    };
    await start(
      { echo: (_request, { principal }) => ({ text: principal.id }) },
      {},
      { verifier: { verify } },
    );
    expect((await probeClient(world.channelWith('late')).echo({})).text).toBe('late');
    expect(await failure(probeClient(world.channelWith('expired')).echo({}))).toMatchObject({
      reason: 'TOKEN_EXPIRED',
    });
    expect(await world.metrics.exposition()).toContain('auth_failures_total{reason="TOKEN_EXPIRED"} 1');
  });
});

describe('what cannot be a call', () => {
  test('a broken field is named by its path', async () => {
    const probe = await start({ echo: () => ({}) });
    const error = await failure(probe.echo({ text: 'too long a text' }));
    expect(error).toMatchObject({
      code: 'INVALID_ARGUMENT',
      domain: 'homeostat.probe',
      reason: 'FIELD_INVALID',
      violations: [{ field: 'text', description: 'must have at most 8 characters' }],
      message: 'FIELD_INVALID: text: must have at most 8 characters',
    });
  });

  test.each([
    ['a field cut short', Buffer.from([0x0a, 0x05, 0x61])],
    ['an unknown wire type', Buffer.from([0x0f])],
    ['field number zero', Buffer.from([0x02, 0x00])],
    ['a varint without end', Buffer.from([0x10, ...new Array(11).fill(0xff)])],
  ])('bytes with %s are MALFORMED', async (_what, bytes) => {
    await start({ echo: () => ({}) });
    expect(await callRaw(ECHO, frame(bytes))).toMatchObject({
      'grpc-status': '3',
      'grpc-message': 'MALFORMED:%20the%20request%20is%20not%20a%20homeostat.probe.v1.EchoRequest',
    });
  });

  test('a method nobody has is UNIMPLEMENTED', async () => {
    await start({});
    const answer = await callRaw('/homeostat.probe.v1.ProbeService/Sing', frame(new Uint8Array(0)));
    expect(answer).toMatchObject({ 'grpc-status': '12' });
  });

  test('a request over the receive limit is refused, one at the limit is not', async () => {
    await start({ echo: () => ({}) }, { receiveBytesMax: 1_000 });
    const padded = (size: number) =>
      frame(Buffer.concat([Buffer.from([0x52, 0xe5, 0x07]), Buffer.alloc(size - 3)]));
    expect(await callRaw(ECHO, padded(1_000))).toMatchObject({ 'grpc-status': '0' });
    expect(await callRaw(ECHO, padded(1_001))).toMatchObject({ 'grpc-status': '8' });
  });

  test('a reply over the send limit is refused with both sizes', async () => {
    const probe = await start(
      { echo: ({ number }) => ({ payload: new Uint8Array(number) }) },
      { sendBytesMax: 1_003 },
    );
    expect((await probe.echo({ number: 1_000 })).payload).toHaveLength(1_000);
    const error = await failure(probe.echo({ number: 1_001 }));
    expect(error).toMatchObject({
      reason: 'REPLY_TOO_LARGE',
      metadata: { limit: '1003', asked: '1004' },
      retryAfterMs: -1,
    });
  });

  test('metadata over the limit is refused, and the connection lives on', async () => {
    const probe = await start({ echo: () => ({ text: 'here' }) });
    const long = { 'x-long': 'x'.repeat(16 * 1024) };
    expect(await failure(probe.echo({}, { headers: long }))).toMatchObject({ code: 'RESOURCE_EXHAUSTED' });
    expect(await probe.echo({}, { headers: { 'x-long': 'x'.repeat(15 * 1024) } })).toMatchObject({
      text: 'here',
    });
  });

  test('noise on the port ends that connection alone', async () => {
    const probe = await start({ echo: () => ({ text: 'here' }) });
    const [host, port] = world.address.split(':');
    const socket = connect(Number(port), host);
    socket.on('error', () => {}).resume();
    const closed = new Promise((resolve) => socket.once('close', resolve));
    socket.write(Buffer.alloc(4096, 0x5a));
    await closed;
    expect(await probe.echo({})).toMatchObject({ text: 'here' });
  });

  test.each<[string, Record<string, string>, Buffer]>([
    ['a deadline that is none', { 'grpc-timeout': 'soon' }, frame(Buffer.alloc(0))],
    ['an encoding nobody knows', { 'grpc-encoding': 'zip' }, Buffer.from([1, 0, 0, 0, 1, 0])],
    ['a body that does not unpack', { 'grpc-encoding': 'gzip' }, Buffer.from([1, 0, 0, 0, 3, 1, 2, 3])],
    ['no message', {}, Buffer.alloc(0)],
    ['two messages', {}, Buffer.concat([frame(Buffer.alloc(0)), frame(Buffer.alloc(0))])],
    ['half a message', {}, frame(Buffer.alloc(3), 1_000)],
    ['a length of 4 GiB', {}, frame(Buffer.alloc(3), 0xffffffff)],
    ['another content type', { 'content-type': 'text/plain' }, Buffer.alloc(10)],
  ])('a call with %s is refused alone', async (_what, headers, body) => {
    const probe = await start({ echo: () => ({ text: 'here' }) });
    const answer = await callRaw(ECHO, body, headers);
    expect(answer['grpc-status'] ?? answer[':status']).not.toBe('0');
    expect(await probe.echo({})).toMatchObject({ text: 'here' });
  });

  test('text that cannot be sent as it is does not take the server down', async () => {
    const probe = await start({
      echo: () => {
        const at = { domain: 'homeostat.probe', reason: 'ODD', kind: 'NOT_FOUND' } as const;
        throw new AppError({ ...at, message: `no \uD800 ${'x'.repeat(5_000)}\n` }, { name: '\uDC00' });
      },
    });
    const error = await failure(probe.echo({}));
    expect(error.message).toHaveLength(1_024);
    expect(error).toMatchObject({ reason: 'ODD', metadata: { name: '\uFFFD' } });
  });
});
