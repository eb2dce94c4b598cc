import { once } from 'node:events';
import { request as httpRequest } from 'node:http';
import { connect, createServer } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { pino } from 'pino';
import { createHttpServer, type HttpServer } from '../../src/http/serve.ts';
import { createMetrics, type Metrics } from '../../src/observability.ts';
import type { HealthView, ServiceHealth } from '../../src/rpc/health.ts';
import { createFakeClock, type FakeClock } from '../support/fake-clock.ts';

let clock: FakeClock;
let skewMs: number;
let services: ServiceHealth[];
let metrics: Metrics;
let server: HttpServer;
let address: string;
let corsOrigins: string[];

const health: HealthView = {
  services: () => services,
  ageMs: () => 42.4,
  serving: () => services[0]!.serving,
};

function create(at = '127.0.0.1:0'): HttpServer {
  const skewed = { ...clock, monotonicMs: () => clock.monotonicMs() + skewMs };
  const logger = pino({ level: 'silent' });
  return createHttpServer({ config: { address: at, corsOrigins }, clock: skewed, logger, metrics, health });
}

beforeEach(async () => {
  clock = createFakeClock();
  skewMs = 0;
  corsOrigins = [];
  services = [
    { service: '', serving: true, reasons: [] },
    { service: 'a.v1.B', serving: false, reasons: ['BROKER_DOWN'] },
    { service: 'a.v1.C', serving: true, reasons: ['DISK_LOW'] },
  ];
  metrics = createMetrics();
  server = create();
  address = await server.start();
});
afterEach(() => server.stop());

/** Sends bytes as they are and gives everything that comes back before the server closes. */
async function raw(text: string): Promise<string> {
  const socket = connect(Number(address.split(':')[1]), '127.0.0.1');
  socket.on('error', () => {});
  let answer = '';
  socket.setEncoding('latin1').on('data', (chunk: string) => {
    answer += chunk;
  });
  socket.write(text);
  await once(socket, 'close');
  return answer;
}

describe('/livez', () => {
  test('says ok while the loop turns', async () => {
    const response = await fetch(`http://${address}/livez`);
    expect(response.status).toBe(200);
    expect(await response.text()).toBe('ok\n');
    await clock.advance(60_000);
    expect((await fetch(`http://${address}/livez`)).status).toBe(200);
  });

  test('says 503 when the loop has not turned for 5 s', async () => {
    skewMs = 4_999;
    expect((await fetch(`http://${address}/livez`)).status).toBe(200);
    skewMs = 5_000;
    expect((await fetch(`http://${address}/livez`)).status).toBe(503);
  });

  test('does not read health', async () => {
    services = [];
    expect((await fetch(`http://${address}/livez?probe=1`)).status).toBe(200);
  });
});

describe('/readyz', () => {
  test('lists every service with its reasons and the age of the snapshot', async () => {
    const response = await fetch(`http://${address}/readyz`);
    expect(response.status).toBe(200);
    expect(response.headers.get('content-type')).toBe('application/json');
    expect(await response.json()).toEqual({
      status: 'SERVING',
      age_ms: 42,
      services: [
        { service: '', status: 'SERVING', reasons: [] },
        { service: 'a.v1.B', status: 'NOT_SERVING', reasons: ['BROKER_DOWN'] },
        { service: 'a.v1.C', status: 'SERVING', reasons: ['DISK_LOW'] },
      ],
    });
  });

  test('is 503 while the server does not serve', async () => {
    services = [{ service: '', serving: false, reasons: ['STORE_DOWN'] }];
    const response = await fetch(`http://${address}/readyz`);
    expect(response.status).toBe(503);
    expect(await response.json()).toMatchObject({
      status: 'NOT_SERVING',
      services: [{ reasons: ['STORE_DOWN'] }],
    });
  });
});

describe('/metrics', () => {
  test('gives what is collected when asked', async () => {
    let value = 1;
    metrics.gauge('homeostat_test', 'A test.', [], () => [{ value }]);
    value = 7;
    const response = await fetch(`http://${address}/metrics`);
    expect(response.headers.get('content-type')).toContain('text/plain');
    expect(await response.text()).toContain('homeostat_test 7');
  });

  test('that cannot be collected is 500, and says no more', async () => {
    metrics.gauge('homeostat_broken', 'A test.', [], () => {
      throw new Error('secret');
    });
    const response = await fetch(`http://${address}/metrics`);
    expect(response.status).toBe(500);
    expect(await response.text()).toBe('a fault of the server\n');
  });
});

describe('what is not asked that way', () => {
  test('HEAD is answered without a body', async () => {
    const response = await fetch(`http://${address}/livez`, { method: 'HEAD' });
    expect(response.status).toBe(200);
    expect(response.headers.get('content-length')).toBe('3');
    expect(await response.text()).toBe('');
  });

  test.each(['POST', 'PUT', 'DELETE', 'OPTIONS'])('%s is 405', async (method) => {
    const response = await fetch(`http://${address}/livez`, { method });
    expect(response.status).toBe(405);
    expect(response.headers.get('allow')).toBe('GET, HEAD');
  });

  test('an unknown path is 404', async () => {
    for (const path of ['', 'metric', 'livez/', '..%2fetc', 'constructor'])
      expect((await fetch(`http://${address}/${path}`)).status).toBe(404);
  });

  test('any body is 413 and ends the connection', async () => {
    expect(await raw('GET /livez HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\n\r\nx')).toMatch(
      /^HTTP\/1.1 413 .*connection: close/is,
    );
    expect(await raw('POST /metrics HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n')).toMatch(
      /^HTTP\/1.1 413 /,
    );
  });

  test('headers over 16 KiB are 431', async () => {
    const request = (size: number) =>
      `GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-long: ${'x'.repeat(size)}\r\n\r\n`;
    expect(await raw(request(15 * 1024))).toMatch(/^HTTP\/1.1 200 /);
    expect(await raw(request(17 * 1024))).toMatch(/^HTTP\/1.1 431 /);
  });

  test('noise is 400', async () => {
    expect(await raw('\x00\x01\x02 no request\r\n\r\n')).toMatch(/^HTTP\/1.1 400 /);
  });
});

describe('its life', () => {
  test('a taken port is said in one sentence', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    const taken = `127.0.0.1:${(other.address() as { port: number }).port}`;
    await expect(create(taken).start()).rejects.toMatchObject({
      reason: 'ADDRESS_UNUSABLE',
      message: `HTTP cannot listen on ${taken}: another process has the port; change HOMEOSTAT_HTTP_ADDRESS`,
    });
    other.close();
  });

  test('stopping closes idle connections and leaves no timers', async () => {
    const port = Number(address.split(':')[1]);
    const request = httpRequest({
      port,
      host: '127.0.0.1',
      path: '/livez',
      headers: { connection: 'keep-alive' },
    });
    request.end();
    const [response] = await once(request, 'response');
    response.resume();
    const { socket } = response;
    const closed = once(socket, 'close');
    await server.stop();
    await closed;
    expect(clock.pending()).toBe(0);
  });

  test('stopping what never started does nothing', async () => {
    await create().stop();
    expect(clock.pending()).toBe(1); // The running server's own.
  });
});
