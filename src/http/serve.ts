/**
 * The small HTTP edge: `/livez` (the process turns), `/readyz` (it serves, with every service and reason) and
 * `/metrics`, by GET and HEAD, without bodies and without credentials, since they tell nothing about data; and by POST
 * what `posts.ts` takes, with the credentials of gRPC. It listens on loopback unless configured otherwise.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { type Clock, delay, type Timer } from '../clock.ts';
import type { Logger, Metrics } from '../observability.ts';
import type { HealthView } from '../rpc/health.ts';
import { listen } from '../rpc/listen.ts';
import { isTrusted, type Tls } from '../rpc/tls.ts';
import { createCrossOrigin } from './cross-origin.ts';
import { BODY_MS, type Posts } from './posts.ts';

export interface HttpConfig {
  /** `host:port`; port 0 takes a free one. Default 127.0.0.1:8080. */
  readonly address: string;
  /** Origins whose pages may read the answers; default none. */
  readonly corsOrigins: readonly string[];
}

export interface HttpServerDeps {
  readonly config: HttpConfig;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly health: HealthView;
  /** None: nothing is taken by POST. */
  readonly posts?: Posts;
  /**
   * Certificates; none: plaintext. A client may do without one of its own even where gRPC requires it, since probes and
   * scrapers have none; posts ask for it by themselves.
   */
  readonly tls?: Tls;
}

export interface HttpServer {
  /** Listens, and resolves with the address taken. Throws ADDRESS_UNUSABLE. */
  start(): Promise<string>;
  /**
   * Takes no more requests, lets posts under way finish for up to 5 s, and closes every connection. Harmless when not
   * started.
   */
  stop(): Promise<void>;
}

/** The loop has to turn once in this time. */
const LIVE_MS = 5_000;
const TURN_MS = 500;
const HEADER_BYTES_MAX = 16 * 1024;
/** Time a client has to send the head of its request. */
const HEAD_MS = 5_000;
/** How often requests that take too long are looked for. */
const CHECK_MS = 1_000;
/** Time that posts under way have to finish when the server stops. */
const FINISH_MS = 5_000;
/** Idle connections are kept this long: longer than scrape intervals, so that scrapers keep theirs. */
const KEEP_ALIVE_MS = 65_000;

type Answer = (response: ServerResponse) => void | Promise<void>;

export function createHttpServer(deps: HttpServerDeps): HttpServer {
  const { config, clock, logger, metrics, health, posts } = deps;
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

  const paths = [...answers.keys(), ...(posts?.paths ?? [])];
  const crossOrigin = createCrossOrigin(config.corsOrigins);

  const onRequest = (request: IncomingMessage, response: ServerResponse) => {
    const path = pathOf(request.url!);
    const answer = answers.get(path);
    const isPost = !answer && (posts?.paths.includes(path) ?? false);
    crossOrigin.mark(request, response);
    if ((answer || isPost) && crossOrigin.preflight(request, response, isPost ? 'POST' : 'GET, HEAD')) return;
    if (isPost) return posts!.take(path, request, response);
    if (hasBody(request)) {
      response.setHeader('connection', 'close'); // What it sends is not read.
      return reply(response, 413, PLAIN, 'no such request has a body\n');
    }
    if (!answer) return reply(response, 404, PLAIN, `no such path; there are ${paths.join(', ')}\n`);
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
  const server = createListener(deps.tls, onRequest);
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
      const closed = new Promise<void>((resolve) => {
        server.close(() => resolve());
      });
      if (posts) {
        const finished = new AbortController();
        void posts.idle().then(() => finished.abort());
        await delay(clock, FINISH_MS, finished.signal);
      }
      server.closeAllConnections();
      await closed;
    },
  };
}

function createListener(
  tls: Tls | undefined,
  onRequest: (request: IncomingMessage, response: ServerResponse) => void,
): Server {
  const options = {
    maxHeaderSize: HEADER_BYTES_MAX,
    headersTimeout: HEAD_MS,
    requestTimeout: HEAD_MS + BODY_MS,
    connectionsCheckingInterval: CHECK_MS,
    keepAliveTimeout: KEEP_ALIVE_MS,
  };
  if (!tls) return createServer(options, onRequest);
  const certificates = tls.serverOptions(tls.mtls === 'off' ? 'off' : 'optional');
  const server = createTlsServer({ ...options, ...certificates, handshakeTimeout: HEAD_MS }, onRequest);
  server.prependListener('secureConnection', (socket) => {
    if (!isTrusted(socket)) socket.destroy();
  });
  tls.follow(server);
  return server;
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
