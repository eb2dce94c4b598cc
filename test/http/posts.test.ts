/** POST requests at the HTTP edge: who and what is let in, how it is refused, and what it may cost. */

import { once } from 'node:events';
import { connect } from 'node:net';
import { gzipSync } from 'node:zlib';
import { fromBinary, fromJson } from '@bufbuild/protobuf';
import { anyUnpack } from '@bufbuild/protobuf/wkt';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { pino } from 'pino';
import { AppError } from '../../src/errors.ts';
import { ErrorInfoSchema, RetryInfoSchema } from '../../src/gen/google/rpc/error_details_pb.ts';
import { StatusSchema } from '../../src/gen/google/rpc/status_pb.ts';
import {
  ExportMetricsServiceResponseSchema,
  MetricsService,
} from '../../src/gen/opentelemetry/proto/collector/metrics/v1/metrics_service_pb.ts';
import { BODY_MS, createPosts, POSTS_MAX } from '../../src/http/posts.ts';
import { httpRoute, type PostedBody } from '../../src/http/route.ts';
import { createHttpServer, type HttpServer } from '../../src/http/serve.ts';
import { createMetrics, type Metrics } from '../../src/observability.ts';
import { createRandom } from '../../src/random.ts';
import { type Admission, createAdmission } from '../../src/rpc/admission.ts';
import { type AuditedCall, NO_AUDIT } from '../../src/rpc/audit.ts';
import { identityError } from '../../src/rpc/errors.ts';
import { createGate, type GateState } from '../../src/rpc/gate.ts';
import type { RateTier } from '../../src/rpc/handler.ts';
import { UNLOADED } from '../../src/rpc/load-signals.ts';
import { createRateLimiter } from '../../src/rpc/rate-limit.ts';
import { detailTypes } from '../../src/rpc/status.ts';
import { rpcConfig } from '../rpc/edge-world.ts';
import { until } from '../support/broker.ts';
import { principalOf } from '../support/calls.ts';
import { createFakeClock, type FakeClock } from '../support/fake-clock.ts';

const BODY_BYTES_MAX = 64 * 1024;
const PROTOBUF = 'application/x-protobuf';
const JSON_TYPE = 'application/json';

type Handle = (body: PostedBody, signal: AbortSignal) => Promise<{ partialSuccess?: object }>;

let clock: FakeClock;
let metrics: Metrics;
let gate: GateState;
let server: HttpServer;
let address: string;
let port: number;
let handle: Handle;
/** Bodies the handler was given. */
let bodies: PostedBody[];
/** Calls that went to the audit trail to be summed. */
let summed: AuditedCall[];
let rates: Record<RateTier, number>;
let admission: Admission;
let heapShare: number;

beforeEach(async () => {
  clock = createFakeClock();
  metrics = createMetrics();
  bodies = [];
  handle = async () => ({});
  const principals = new Map([
    ['writer', principalOf('writer', 'telemetry.write')],
    ['reader', principalOf('reader', '*.read')],
  ]);
  const verify = async (token: string | undefined) => {
    const found = principals.get(token!);
    if (!found) throw identityError('BAD_TOKEN', {});
    return found;
  };
  summed = [];
  rates = { ...rpcConfig.tokensPerMinute };
  heapShare = 0;
  const load = { ...UNLOADED, heapShare: () => heapShare };
  admission = createAdmission({ clock, load, random: createRandom(1) });
  gate = createGate({
    verifier: { verify },
    admission,
    limiter: createRateLimiter({ ...rpcConfig, tokensPerMinute: rates }, clock),
    audit: { ...NO_AUDIT, count: (call) => void summed.push(call) },
    monotonicMs: clock.monotonicMs,
  });
  const logger = pino({ level: 'silent' });
  const route = httpRoute('/v1/metrics', MetricsService.method.export, (body, signal) => {
    bodies.push(body);
    return handle(body, signal);
  });
  const createRequestId = () => 'request-1';
  const posts = createPosts({
    routes: [route],
    gate,
    bodyBytesMax: BODY_BYTES_MAX,
    certificateRequired: false,
    clock,
    logger,
    metrics,
    createRequestId,
  });
  const health = { services: () => [], ageMs: () => 0, serving: () => true };
  server = createHttpServer({
    config: { address: '127.0.0.1:0', corsOrigins: [] },
    clock,
    logger,
    metrics,
    health,
    posts,
  });
  address = await server.start();
  admission.start();
  port = Number(address.split(':')[1]);
});
afterEach(async () => {
  admission.stop();
  await server.stop();
});

interface PostInit {
  readonly token?: string | null;
  readonly type?: string | null;
  readonly encoding?: string;
  readonly body?: Uint8Array | string;
}

function post({ token = 'writer', type = PROTOBUF, encoding, body = '' }: PostInit = {}): Promise<Response> {
  return fetch(`http://${address}/v1/metrics`, {
    method: 'POST',
    headers: {
      ...(token !== null && { authorization: `Bearer ${token}` }),
      ...(type !== null && { 'content-type': type }),
      ...(encoding && { 'content-encoding': encoding }),
    },
    body: typeof body === 'string' ? Buffer.from(body) : Buffer.from(body),
  });
}

/** The refusal's reason, from the details of its `google.rpc.Status`. */
async function reasonOf(response: Response): Promise<string> {
  const bytes = new Uint8Array(await response.arrayBuffer());
  const status =
    response.headers.get('content-type') === PROTOBUF
      ? fromBinary(StatusSchema, bytes)
      : fromJson(StatusSchema, JSON.parse(Buffer.from(bytes).toString()), { registry: detailTypes });
  const { reason } = anyUnpack(status.details[0]!, ErrorInfoSchema)!;
  expect(status.message).toMatch(new RegExp(`^${reason}: `));
  return reason;
}

/** Opens a connection and sends a head; `answer` grows as the server speaks. */
function raw(head: string) {
  const socket = connect(port, '127.0.0.1').on('error', () => {});
  const connection = { socket, answer: '', closed: once(socket, 'close') };
  socket.setEncoding('latin1').on('data', (chunk: string) => {
    connection.answer += chunk;
  });
  socket.write(head);
  return connection;
}

const HEAD = `POST /v1/metrics HTTP/1.1\r\nhost: x\r\nauthorization: Bearer writer\r\ncontent-type: ${PROTOBUF}\r\n`;

describe('a post', () => {
  test('is given to its route unpacked, and answered in its own format', async () => {
    handle = async () => ({ partialSuccess: { rejectedDataPoints: 3n, errorMessage: 'x' } });
    const response = await post({ body: 'abc' });
    expect([response.status, response.headers.get('content-type')]).toEqual([200, PROTOBUF]);
    const answered = fromBinary(
      ExportMetricsServiceResponseSchema,
      new Uint8Array(await response.arrayBuffer()),
    );
    expect(answered.partialSuccess).toMatchObject({ rejectedDataPoints: 3n, errorMessage: 'x' });

    const packed = await post({
      type: 'Application/JSON; charset=utf-8',
      encoding: 'GZIP',
      body: gzipSync('{}'),
    });
    expect([packed.status, packed.headers.get('content-type')]).toEqual([200, JSON_TYPE]);
    expect(await packed.json()).toEqual({ partialSuccess: { rejectedDataPoints: '3', errorMessage: 'x' } });
    expect(bodies.map(({ bytes, format }) => [Buffer.from(bytes).toString(), format])).toEqual([
      ['abc', 'protobuf'],
      ['{}', 'json'],
    ]);
    expect(await metrics.exposition()).toContain(
      'homeostat_http_posts_total{path="/v1/metrics",code="200"} 2',
    );
  });

  test('may come in pieces and without a length', async () => {
    const connection = raw(`${HEAD}transfer-encoding: chunked\r\nconnection: close\r\n\r\n3\r\nabc\r\n`);
    connection.socket.write('2\r\nde\r\n0\r\n\r\n');
    await connection.closed;
    expect(connection.answer).toMatch(/^HTTP\/1.1 200 /);
    expect(Buffer.from(bodies[0]!.bytes).toString()).toBe('abcde');
  });

  test('of another method is 405', async () => {
    for (const method of ['GET', 'HEAD', 'PUT', 'DELETE']) {
      const response = await fetch(`http://${address}/v1/metrics`, { method });
      expect([response.status, response.headers.get('allow')]).toEqual([405, 'POST']);
    }
  });

  test('elsewhere is what it was', async () => {
    expect((await fetch(`http://${address}/v1/traces`)).status).toBe(404);
    expect((await fetch(`http://${address}/livez`, { method: 'POST' })).status).toBe(405);
    expect((await fetch(`http://${address}/v1/traces`, { method: 'POST', body: 'x' })).status).toBe(413);
  });
});

describe('a post is refused', () => {
  const oversized = 'x'.repeat(BODY_BYTES_MAX + 1);
  test.each<[string, PostInit, number, string]>([
    ['without credentials', { token: null }, 401, 'MISSING_CREDENTIALS'],
    ['with unknown ones', { token: 'stranger', type: JSON_TYPE }, 401, 'BAD_TOKEN'],
    ['without the permission', { token: 'reader' }, 403, 'NO_PERMISSION'],
    ['without a type', { type: null }, 415, 'BODY_TYPE_UNKNOWN'],
    ['of another type', { type: 'text/plain' }, 415, 'BODY_TYPE_UNKNOWN'],
    ['of another encoding', { encoding: 'br' }, 415, 'BODY_TYPE_UNKNOWN'],
    ['when it is too large', { body: oversized }, 413, 'BODY_TOO_LARGE'],
    ['when what it unpacks to is', { encoding: 'gzip', body: gzipSync(oversized) }, 413, 'BODY_TOO_LARGE'],
    ['when it is a bomb', { encoding: 'gzip', body: gzipSync(Buffer.alloc(50e6)) }, 413, 'BODY_TOO_LARGE'],
    ['when it is no gzip', { encoding: 'gzip', body: 'abc' }, 400, 'MALFORMED'],
    ['when it is cut gzip', { encoding: 'gzip', body: gzipSync('abcdef').subarray(0, 20) }, 400, 'MALFORMED'],
  ])('%s', async (_name, init, status, reason) => {
    const response = await post(init);
    expect(response.status).toBe(status);
    expect(response.headers.get('www-authenticate')).toBe(status === 401 ? 'Bearer' : null);
    expect(await reasonOf(response)).toBe(reason);
    expect(bodies).toEqual([]);
    expect((await post()).status).toBe(200);
  });

  test('as its route says, with when to come again', async () => {
    handle = async () => {
      const at = {
        domain: 'homeostat.telemetry',
        reason: 'BROKER_DOWN',
        kind: 'UNAVAILABLE',
        message: 'no',
      } as const;
      throw new AppError(at, {}, { retryAfterMs: 1_200 });
    };
    const response = await post({ type: JSON_TYPE, body: '{}' });
    expect([response.status, response.headers.get('retry-after')]).toEqual([503, '2']);
    const status = fromJson(StatusSchema, (await response.json()) as never, { registry: detailTypes });
    expect(status).toMatchObject({ code: 14, message: 'BROKER_DOWN: no' });
    expect(status.details.map((detail) => anyUnpack(detail, RetryInfoSchema)).find(Boolean)).toMatchObject({
      retryDelay: { seconds: 1n, nanos: 200_000_000 },
    });
  });

  test('by a fault without telling its cause', async () => {
    handle = () => Promise.reject(new Error('secret'));
    const response = await post({ type: JSON_TYPE, body: '{}' });
    expect(response.status).toBe(500);
    expect(await response.json()).toMatchObject({
      code: 13,
      message: 'INTERNAL: a fault of the server, logged as request request-1',
    });
  });

  test('while the server drains', async () => {
    gate.drain();
    const response = await post();
    expect([response.status, response.headers.get('retry-after')]).toEqual([503, '1']);
    expect(await reasonOf(response)).toBe('DRAINING');
  });

  test('for its rate, and answered ones are summed for the audit trail', async () => {
    rates.ENTERPRISE = 2;
    expect((await post()).status).toBe(200);
    expect((await post()).status).toBe(200);
    const response = await post();
    expect([response.status, response.headers.get('retry-after')]).toEqual([429, '30']);
    expect(await reasonOf(response)).toBe('RATE_LIMITED');
    expect(summed.map(({ principal, code }) => `${principal} ${code}`)).toEqual([
      'writer OK',
      'writer OK',
      'writer RESOURCE_EXHAUSTED',
    ]);
  });

  test('while the server is overloaded, before anybody looks at its credentials', async () => {
    heapShare = 0.95;
    await clock.advance(500);
    const response = await post({ token: null });
    expect(response.status).toBe(429);
    expect(await reasonOf(response)).toBe('OVERLOADED');
    heapShare = 0;
    await clock.advance(500);
    expect((await post()).status).toBe(200);
  });

  test('and counted among the failures of authentication', async () => {
    await post({ token: null });
    await post({ token: 'reader' });
    expect([...gate.authFailures]).toEqual([
      ['MISSING_CREDENTIALS', 1],
      ['NO_PERMISSION', 1],
    ]);
    const at = {
      method: 'opentelemetry.proto.collector.metrics.v1.MetricsService/Export',
      peer: '127.0.0.1',
    };
    expect(summed).toEqual([
      { ...at, principal: '', code: 'UNAUTHENTICATED', reason: 'MISSING_CREDENTIALS' },
      { ...at, principal: 'reader', code: 'PERMISSION_DENIED', reason: 'NO_PERMISSION' },
    ]);
  });

  test('when too many are under way, and no longer once they are done', async () => {
    let finish = () => {};
    const finished = new Promise<void>((resolve) => {
      finish = resolve;
    });
    handle = () => finished.then(() => ({}));
    const running = Array.from({ length: POSTS_MAX }, () => post());
    await until(() => bodies.length === POSTS_MAX);
    const response = await post();
    expect([response.status, response.headers.get('retry-after')]).toEqual([429, '1']);
    expect(await reasonOf(response)).toBe('OVERLOADED');
    finish();
    for (const one of running) expect((await one).status).toBe(200);
    expect((await post()).status).toBe(200);
  });
});

describe('what a client may do to the server', () => {
  test('a body that does not come in time is 408, and ends the connection', async () => {
    const connection = raw(`${HEAD}content-length: 10\r\n\r\nabc`);
    await until(() => clock.pending() === 3); // The server's own, that of admission, and that of the body.
    await clock.advance(BODY_MS - 1);
    expect(connection.answer).toBe('');
    await clock.advance(1);
    await connection.closed;
    expect(connection.answer).toMatch(/^HTTP\/1.1 408 .*connection: close/is);
    expect(bodies).toEqual([]);
  });

  test('a client that goes away in the middle leaves nothing behind', async () => {
    const connection = raw(`${HEAD}content-length: 10\r\n\r\nabc`);
    await until(() => clock.pending() === 3);
    connection.socket.destroy();
    await until(() => clock.pending() === 2);
    expect(bodies).toEqual([]);
    expect((await post()).status).toBe(200);
  });

  test('a client that goes away while it is answered aborts the handler', async () => {
    let aborted = false;
    handle = (_body, signal) =>
      new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => {
          aborted = true;
          reject(signal.reason);
        });
      });
    const connection = raw(`${HEAD}content-length: 0\r\n\r\n`);
    await until(() => bodies.length === 1);
    connection.socket.destroy();
    await until(() => aborted);
    await until(async () =>
      (await metrics.exposition()).includes('homeostat_http_posts_total{path="/v1/metrics",code="499"} 1'),
    );
  });

  test('a stranger who sends on and on is cut off', async () => {
    const connection = raw('POST /v1/metrics HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n');
    const chunk = `1000\r\n${'x'.repeat(0x1000)}\r\n`;
    let isOpen = true;
    void connection.closed.then(() => {
      isOpen = false;
    });
    await until(() => {
      if (isOpen) connection.socket.write(chunk);
      return !isOpen;
    });
    expect(connection.answer).toMatch(/^HTTP\/1.1 401 /);
  });

  test('noise never reaches the handler unread, and never brings the server down', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.uint8Array({ maxLength: 200 }),
        fc.constantFrom(PROTOBUF, JSON_TYPE, 'x/y'),
        fc.constantFrom('gzip', 'identity', 'deflate'),
        async (body, type, encoding) => {
          const { status } = await post({ body, type, encoding });
          expect([200, 400, 415]).toContain(status);
        },
      ),
      { numRuns: 60 },
    );
  });
});

describe('stopping', () => {
  test('lets posts under way finish', async () => {
    let finish = () => {};
    handle = () =>
      new Promise((resolve) => {
        finish = () => resolve({});
      });
    const answer = post();
    await until(() => bodies.length === 1);
    const stopped = server.stop();
    finish();
    expect((await answer).status).toBe(200);
    await stopped;
    expect(clock.pending()).toBe(1); // That of admission.
  });

  test('waits for them no longer than 5 s', async () => {
    handle = () => new Promise(() => {});
    const answer = post();
    const failed = expect(answer).rejects.toThrow();
    await until(() => bodies.length === 1);
    const stopped = server.stop();
    await clock.advance(5_000);
    await stopped;
    await failed;
  });
});
