/**
 * POST requests to the routes: let in by the same checks as gRPC calls, before anything of the body is read; at most
 * `POSTS_MAX` under way. Every refusal has a `google.rpc.Status` as its body, in the format of the request, and says in
 * `retry-after` when to come again where that helps.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Clock } from '../clock.ts';
import type { AppError, ErrorKind } from '../errors.ts';
import { StatusSchema } from '../gen/google/rpc/status_pb.ts';
import type { Logger, Metrics } from '../observability.ts';
import { edgeError, identityError } from '../rpc/errors.ts';
import type { Gate, Visit } from '../rpc/gate.ts';
import { type Treatment, treatmentOf } from '../rpc/method.ts';
import { criticalityName } from '../rpc/policy.ts';
import { detailTypes, toAppError, toStatusMessage } from '../rpc/status.ts';
import { peerOfSocket } from '../rpc/transport.ts';
import { dropBody, readBody } from './body.ts';
import { type BodyFormat, formatOf, jsonFormat } from './format.ts';
import type { HttpRoute } from './route.ts';

/** Posts under way at a time: each may hold a body and what it was packed in. */
export const POSTS_MAX = 32;
/** Time a body has to come, milliseconds; what exporters wait by default. */
export const BODY_MS = 10_000;
/** When to come again while too many posts are under way, milliseconds. */
const RETRY_MS = 1_000;

export interface PostsDeps {
  readonly routes: readonly HttpRoute[];
  readonly gate: Gate;
  /** Bytes a body may have, as sent and unpacked. */
  readonly bodyBytesMax: number;
  /** Whether a client must have shown a certificate. */
  readonly certificateRequired: boolean;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly createRequestId: () => string;
}

export interface Posts {
  readonly paths: readonly string[];
  /** Takes a request to a path of `paths`, whatever its method, and answers it in its own time. */
  take(path: string, request: IncomingMessage, response: ServerResponse): void;
  /** Resolves once no post is under way. */
  idle(): Promise<void>;
}

interface Endpoint extends HttpRoute {
  readonly treatment: Treatment;
}

export function createPosts(deps: PostsDeps): Posts {
  const { gate, bodyBytesMax, clock, logger } = deps;
  const endpoints = new Map<string, Endpoint>(
    deps.routes.map((route) => [route.path, { ...route, treatment: treatmentOf(route.method) }]),
  );
  const running = new Set<Promise<void>>();
  const counts = countPosts(deps.metrics);

  const admit = (endpoint: Endpoint, request: IncomingMessage): Promise<Visit> => {
    const { treatment } = endpoint;
    if (running.size >= POSTS_MAX)
      throw edgeError(
        'OVERLOADED',
        { cause: 'POSTS', criticality: criticalityName(treatment.policy.criticality) },
        { retryAfterMs: RETRY_MS },
      );
    const { authorization, 'content-length': length, 'homeostat-criticality': said } = request.headers;
    const peer = peerOfSocket(request.socket);
    if (deps.certificateRequired && !peer.certificate) throw identityError('CERTIFICATE_MISMATCH', {});
    const criticality = typeof said === 'string' ? said : undefined;
    return gate.admit(treatment, { authorization, criticality, peer }, Number(length ?? 0));
  };

  const handle = async (endpoint: Endpoint, request: IncomingMessage, signal: AbortSignal) => {
    const format = formatOf(request.headers['content-type']);
    if (format === undefined)
      throw edgeError('BODY_TYPE_UNKNOWN', {
        header: 'content-type',
        allowed: 'application/x-protobuf or application/json',
      });
    const bytes = await readBody(request, { bytesMax: bodyBytesMax, withinMs: BODY_MS, clock });
    const reply = await endpoint.handle({ bytes, format: format.name }, signal);
    return format.write(endpoint.method.output, reply);
  };

  const refused = (endpoint: Endpoint, thrown: unknown): AppError => {
    const requestId = deps.createRequestId();
    const error = toAppError(thrown, () => requestId);
    const fields = { request: requestId, path: endpoint.path, domain: error.domain, reason: error.reason };
    if (error.kind === 'INTERNAL') logger.error({ ...fields, err: error.cause ?? error }, 'post failed');
    else logger.info({ ...fields, text: error.message }, 'post refused');
    return error;
  };

  const answer = async (endpoint: Endpoint, request: IncomingMessage, response: ServerResponse) => {
    const format = formatOf(request.headers['content-type']) ?? jsonFormat;
    const gone = new AbortController();
    response.once('close', () => gone.abort(edgeError('CANCELLED', {})));
    let visit: Visit | undefined;
    let sent: Promise<void>;
    try {
      visit = await admit(endpoint, request);
      const reply = await handle(endpoint, request, gone.signal);
      visit.leave(undefined);
      sent = send(response, 200, format, reply);
    } catch (thrown) {
      const error = refused(endpoint, thrown);
      visit?.leave(error);
      sent = refuse(response, format, error);
    }
    counts.add(endpoint.path, response.headersSent ? response.statusCode : STATUS_BY_KIND.CANCELLED);
    if (!request.complete) dropBody(request, bodyBytesMax);
    await sent;
  };

  return {
    paths: [...endpoints.keys()],
    take(path, request, response) {
      if (request.method !== 'POST') {
        response.setHeader('allow', 'POST');
        void send(response, 405, PLAIN, Buffer.from('only POST\n'));
        dropBody(request, bodyBytesMax);
        return;
      }
      const post = answer(endpoints.get(path)!, request, response);
      running.add(post);
      void post.finally(() => running.delete(post));
    },
    async idle() {
      while (running.size > 0) await Promise.all(running);
    },
  };
}

const PLAIN = { type: 'text/plain; charset=utf-8' };

/** Resolves once the answer has left, or has nowhere to go. */
function send(
  response: ServerResponse,
  status: number,
  { type }: { readonly type: string },
  body: Uint8Array,
): Promise<void> {
  if (response.destroyed) return Promise.resolve(); // The client went away.
  response.writeHead(status, {
    'content-type': type,
    'content-length': body.length,
    'cache-control': 'no-store',
  });
  return new Promise((resolve) => {
    response.once('close', resolve);
    response.end(body, () => resolve());
  });
}

function refuse(response: ServerResponse, format: BodyFormat, error: AppError): Promise<void> {
  const { retryAfterMs } = error;
  if (retryAfterMs !== undefined && retryAfterMs >= 0)
    response.setHeader('retry-after', String(Math.max(1, Math.ceil(retryAfterMs / 1000))));
  if (error.kind === 'UNAUTHENTICATED') response.setHeader('www-authenticate', 'Bearer');
  if (error.reason === 'BODY_TOO_SLOW') response.setHeader('connection', 'close');
  const body = format.write(StatusSchema, toStatusMessage(error), detailTypes);
  return send(response, STATUS_BY_REASON.get(error.reason) ?? STATUS_BY_KIND[error.kind], format, body);
}

/** Refusals that HTTP has words of its own for. */
const STATUS_BY_REASON: ReadonlyMap<string, number> = new Map([
  ['BODY_TOO_LARGE', 413],
  ['BODY_TYPE_UNKNOWN', 415],
  ['BODY_TOO_SLOW', 408],
]);

/** As `google.rpc.Code` documents it. */
const STATUS_BY_KIND: Readonly<Record<ErrorKind, number>> = {
  CANCELLED: 499,
  INVALID_ARGUMENT: 400,
  DEADLINE_EXCEEDED: 504,
  NOT_FOUND: 404,
  ALREADY_EXISTS: 409,
  PERMISSION_DENIED: 403,
  RESOURCE_EXHAUSTED: 429,
  FAILED_PRECONDITION: 400,
  ABORTED: 409,
  OUT_OF_RANGE: 400,
  UNIMPLEMENTED: 501,
  INTERNAL: 500,
  UNAVAILABLE: 503,
  DATA_LOSS: 500,
  UNAUTHENTICATED: 401,
};

function countPosts(metrics: Metrics): { add(path: string, status: number): void } {
  const counts = new Map<string, { path: string; code: string; value: number }>();
  metrics.counter('homeostat_http_posts_total', 'Posts answered, by path and status.', ['path', 'code'], () =>
    [...counts.values()].map(({ path, code, value }) => ({ value, labels: { path, code } })),
  );
  return {
    add(path, status) {
      const key = `${status} ${path}`;
      const count = counts.get(key) ?? { path, code: String(status), value: 0 };
      count.value++;
      counts.set(key, count);
    },
  };
}
