/**
 * The small HTTP edge: `/livez` (the process turns), `/readyz` (it serves, with every service and reason) and
 * `/metrics`. Read-only: GET and HEAD, no bodies. It has no credentials, so it listens on loopback unless configured
 * otherwise, and tells nothing about data.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { Clock, Timer } from '../clock.ts';
import type { Logger, Metrics } from '../observability.ts';
import type { HealthView } from '../rpc/health.ts';
import { listen } from '../rpc/listen.ts';

export interface HttpConfig {
  /** `host:port`; port 0 takes a free one. Default 127.0.0.1:8080. */
  readonly address: string;
}

export interface HttpServerDeps {
  readonly config: HttpConfig;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly health: HealthView;
}

export interface HttpServer {
  /** Listens, and resolves with the address taken. Throws ADDRESS_UNUSABLE. */
  start(): Promise<string>;
  /** Takes no more requests and closes every connection. Harmless when not started. */
  stop(): Promise<void>;
}

/** The loop has to turn once in this time. */
const LIVE_MS = 5_000;
const TURN_MS = 500;
const HEADER_BYTES_MAX = 16 * 1024;
/** Time a client has to send its request. */
const REQUEST_MS = 5_000;
/** Idle connections are kept this long: longer than scrape intervals, so that scrapers keep theirs. */
const KEEP_ALIVE_MS = 65_000;

type Answer = (response: ServerResponse) => void | Promise<void>;

export function createHttpServer(deps: HttpServerDeps): HttpServer {
  const { config, clock, logger, metrics, health } = deps;
  let turnedMs = clock.monotonicMs();
  let turning: Timer | undefined;

  const livez: Answer = (response) => {
    const live = clock.monotonicMs() - turnedMs < LIVE_MS;
    reply(response, live ? 200 : 503, PLAIN, live ? 'ok\n' : 'the event loop is stuck\n');
  };
  const readyz: Answer = (response) => {
    const ready = health.serving();
    const services = health.services().map(({ service, serving, reasons }) => ({
      service,
      status: serving ? 'SERVING' : 'NOT_SERVING',
      reasons,
    }));
    const body = { status: ready ? 'SERVING' : 'NOT_SERVING', age_ms: Math.round(health.ageMs()), services };
    reply(response, ready ? 200 : 503, JSON_TYPE, `${JSON.stringify(body)}\n`);
  };
  const scrape: Answer = async (response) =>
    reply(response, 200, metrics.contentType, await metrics.exposition());
  const answers: ReadonlyMap<string, Answer> = new Map([
    ['/livez', livez],
    ['/readyz', readyz],
    ['/metrics', scrape],
  ]);

  const onRequest = (request: IncomingMessage, response: ServerResponse) => {
    const answer = answers.get(request.url!) ?? answers.get(pathOf(request.url!));
    if (hasBody(request)) {
      response.setHeader('connection', 'close'); // What it sends is not read.
      return reply(response, 413, PLAIN, 'no request here has a body\n');
    }
    if (!answer) return reply(response, 404, PLAIN, 'no such path; there are /livez, /readyz and /metrics\n');
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      response.setHeader('allow', 'GET, HEAD');
      return reply(response, 405, PLAIN, 'only GET and HEAD\n');
    }
    const answered = answer(response);
    answered?.catch((err: unknown) => {
      logger.error({ err, path: request.url }, 'HTTP request failed');
      if (!response.headersSent) reply(response, 500, PLAIN, 'a fault of the server\n');
      else response.destroy();
    });
  };
  const server = createServer(
    {
      maxHeaderSize: HEADER_BYTES_MAX,
      headersTimeout: REQUEST_MS,
      requestTimeout: REQUEST_MS,
      keepAliveTimeout: KEEP_ALIVE_MS,
    },
    onRequest,
  );
  return {
    async start() {
      const address = await listen(server, config.address, 'HTTP', 'HOMEOSTAT_HTTP_ADDRESS');
      turnedMs = clock.monotonicMs();
      turning = clock.every(TURN_MS, () => {
        turnedMs = clock.monotonicMs();
      });
      return address;
    },
    async stop() {
      turning?.cancel();
      if (!server.listening) return;
      await new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      });
    },
  };
}

const PLAIN = 'text/plain; charset=utf-8';
const JSON_TYPE = 'application/json';

/** Node leaves the body out of an answer to HEAD. */
function reply(response: ServerResponse, status: number, type: string, body: string): void {
  response.writeHead(status, {
    'content-type': type,
    'content-length': Buffer.byteLength(body),
    'cache-control': 'no-store',
  });
  response.end(body);
}

function pathOf(url: string): string {
  const end = url.indexOf('?');
  return end < 0 ? url : url.slice(0, end);
}

function hasBody(request: IncomingMessage): boolean {
  const length = request.headers['content-length'];
  return request.headers['transfer-encoding'] !== undefined || (length !== undefined && Number(length) !== 0);
}
