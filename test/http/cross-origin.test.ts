/** Which pages of browsers may talk to the HTTP edge: those of the origins that are named, letter by letter. */
import { request as httpRequest, type IncomingHttpHeaders } from 'node:http';
import { afterEach, describe, expect, test } from '@jest/globals';
import { pino } from 'pino';
import { MetricsService } from '../../src/gen/opentelemetry/proto/collector/metrics/v1/metrics_service_pb.ts';
import { createPosts } from '../../src/http/posts.ts';
import { httpRoute } from '../../src/http/route.ts';
import { createHttpServer, type HttpServer } from '../../src/http/serve.ts';
import { type EdgeWorld, startEdge, TOKEN } from '../rpc/edge-world.ts';
import { createFakeClock } from '../support/fake-clock.ts';

const CONSOLE = 'https://console.example.com';

let edge: EdgeWorld;
let server: HttpServer;
let port: number;
afterEach(async () => {
  await server.stop();
  await edge.stop();
});

async function start(corsOrigins: readonly string[]) {
  const clock = createFakeClock();
  const logger = pino({ level: 'silent' });
  edge = await startEdge({ bindings: [], clock });
  const { metrics } = edge;
  const { gate, health } = edge.server;
  const posts = createPosts({
    routes: [httpRoute('/v1/metrics', MetricsService.method.export, async () => ({}))],
    gate,
    bodyBytesMax: 1_000,
    certificateRequired: false,
    clock,
    logger,
    metrics,
    createRequestId: () => 'request-1',
  });
  server = createHttpServer({
    config: { address: '127.0.0.1:0', corsOrigins },
    clock,
    logger,
    metrics,
    health,
    posts,
  });
  port = Number((await server.start()).split(':')[1]);
}

function ask(
  method: string,
  path: string,
  headers: Record<string, string>,
): Promise<{ status: number; headers: IncomingHttpHeaders }> {
  return new Promise((resolve, reject) => {
    const request = httpRequest(
      { port, host: '127.0.0.1', method, path, headers, agent: false },
      (response) => {
        response.resume();
        resolve({ status: response.statusCode!, headers: response.headers });
      },
    );
    request.on('error', reject).end();
  });
}

const preflight = (path: string, origin: string, method = 'POST') =>
  ask('OPTIONS', path, {
    origin,
    'access-control-request-method': method,
    'access-control-request-headers': 'authorization, content-type',
  });

describe('identity.X3 an origin that is named', () => {
  test('may read answers', async () => {
    await start(['https://other.example.com', CONSOLE]);
    for (const path of ['/livez', '/readyz', '/metrics', '/nothing']) {
      const { headers } = await ask('GET', path, { origin: CONSOLE });
      expect(headers).toMatchObject({ 'access-control-allow-origin': CONSOLE, vary: 'origin' });
      expect(headers['access-control-allow-credentials']).toBeUndefined();
    }
  });

  test('may post with credentials, after it has asked', async () => {
    await start([CONSOLE]);
    const { status, headers } = await preflight('/v1/metrics', CONSOLE);
    expect(status).toBe(204);
    expect(headers).toMatchObject({
      'access-control-allow-origin': CONSOLE,
      'access-control-allow-methods': 'POST',
      'access-control-allow-headers': expect.stringContaining('authorization, content-type'),
    });
    const posted = await ask('POST', '/v1/metrics', {
      origin: CONSOLE,
      authorization: `Bearer ${TOKEN}`,
      'content-type': 'application/x-protobuf',
    });
    expect([posted.status, posted.headers['access-control-allow-origin']]).toEqual([200, CONSOLE]);
    const refused = await ask('POST', '/v1/metrics', { origin: CONSOLE });
    expect([refused.status, refused.headers['access-control-allow-origin']]).toEqual([401, CONSOLE]);
  });

  test('may ask whether it may get, and is told that it may not post there', async () => {
    await start([CONSOLE]);
    const { status, headers } = await preflight('/readyz', CONSOLE, 'GET');
    expect([status, headers['access-control-allow-methods']]).toEqual([204, 'GET, HEAD']);
    expect((await preflight('/nothing', CONSOLE)).status).toBe(404);
  });
});

describe('identity.X3 any other origin', () => {
  test.each([
    'https://console.example.com.evil.net',
    'https://evil.console.example.com',
    'http://console.example.com',
    'https://console.example.com:8443',
    'https://CONSOLE.example.com',
    'https://console.example.com/',
    'null',
    '*',
    '',
  ])('(%s) is told nothing', async (origin) => {
    await start([CONSOLE]);
    for (const { status, headers } of [
      await preflight('/v1/metrics', origin),
      await ask('GET', '/readyz', { origin }),
    ]) {
      expect(status).not.toBe(204);
      expect(headers['access-control-allow-origin']).toBeUndefined();
      expect(headers['access-control-allow-methods']).toBeUndefined();
      expect(headers['vary']).toBe('origin');
    }
  });

  test('is everybody while none is named', async () => {
    await start([]);
    const { status, headers } = await preflight('/v1/metrics', CONSOLE);
    expect([status, headers['vary'], headers['access-control-allow-origin']]).toEqual([
      405,
      undefined,
      undefined,
    ]);
  });
});
