/**
 * The connection to a server and the four kinds of call on it, in terms of protobuf-es messages. One channel is
 * shared by all clients made of it; it connects on first use and reconnects by itself. Every failure surfaces as an
 * `RpcError`.
 */
import { readFileSync } from 'node:fs';
import {
  create,
  type DescMessage,
  type DescMethod,
  type DescMethodBiDiStreaming,
  type DescMethodClientStreaming,
  type DescMethodServerStreaming,
  type DescMethodUnary,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from '@bufbuild/protobuf';
import * as grpc from '@grpc/grpc-js';
import { type Clock, systemClock } from '../clock.ts';
import { createRandom, type Random } from '../random.ts';
import { DEFAULT_RETRY, isRepeatable, type RetryPolicy, withRetries } from './retry.ts';
import { decodeError } from './rpc-error.ts';

export interface ChannelOptions {
  /** `host:port` of the server's gRPC edge. */
  readonly address: string;
  /** API key or access token, sent as `authorization: Bearer <token>`. */
  readonly token?: string;
  /** TLS; plaintext without it. `caFile` replaces the system's roots; the pair identifies the client. */
  readonly tls?: { readonly caFile?: string; readonly certFile?: string; readonly keyFile?: string };
  /** Deadline of a unary call unless given with it, milliseconds; default 30,000. */
  readonly timeoutMs?: number;
  /** How failed unary calls are repeated; what is left out has its default. */
  readonly retry?: Partial<RetryPolicy>;
  /** Source of jitter; default seeded with the wall time. */
  readonly random?: Random;
  /** Time of deadlines and waits; default the system's. */
  readonly clock?: Clock;
}

/** Options of one call. */
export interface CallOptions {
  /** Cancels the call: it fails with code CANCELLED. */
  readonly signal?: AbortSignal;
  /** Deadline in milliseconds from now, retries included; default the channel's for unary calls, none for streams. */
  readonly timeoutMs?: number;
  /** Further request metadata, names in lower case. */
  readonly headers?: Readonly<Record<string, string>>;
}

export interface Channel {
  readonly address: string;
  unary<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
    options?: CallOptions,
  ): Promise<MessageShape<O>>;
  /** Leaving the loop early cancels the call. */
  serverStream<I extends DescMessage, O extends DescMessage>(
    method: DescMethodServerStreaming<I, O>,
    request: MessageInitShape<I>,
    options?: CallOptions,
  ): AsyncIterable<MessageShape<O>>;
  clientStream<I extends DescMessage, O extends DescMessage>(
    method: DescMethodClientStreaming<I, O>,
    requests: AsyncIterable<MessageInitShape<I>>,
    options?: CallOptions,
  ): Promise<MessageShape<O>>;
  /** Leaving the loop early cancels the call. Requests are pulled only as fast as the connection takes them. */
  bidiStream<I extends DescMessage, O extends DescMessage>(
    method: DescMethodBiDiStreaming<I, O>,
    requests: AsyncIterable<MessageInitShape<I>>,
    options?: CallOptions,
  ): AsyncIterable<MessageShape<O>>;
  /** Ends the connection; calls under way fail. */
  close(): void;
}

/** Largest reply taken, bytes: a map of 1024 x 1024 with its slope and weights. */
const RECEIVE_BYTES_MAX = 64 * 1024 * 1024;

/** First and longest wait between attempts to connect, milliseconds: a server that restarts is back in two seconds. */
const RECONNECT_MS = 100;
const RECONNECT_MS_MAX = 500;

/** What the four kinds of call share. */
interface Link {
  readonly connection: grpc.Client;
  metadata(call: CallOptions | undefined): grpc.Metadata;
  /** Deadline of a stream: only where the caller gives one. */
  streamOptions(call: CallOptions | undefined): grpc.CallOptions;
}

/** Opens nothing yet: the first call connects. Throws when a TLS file cannot be read. */
export function openChannel(options: ChannelOptions): Channel {
  const clock = options.clock ?? systemClock;
  const random = options.random ?? createRandom(clock.nowMs());
  const retry = { ...DEFAULT_RETRY, ...options.retry };
  const timeoutMs = options.timeoutMs ?? 30_000;
  const connection = new grpc.Client(options.address, channelCredentials(options.tls), {
    'grpc.max_receive_message_length': RECEIVE_BYTES_MAX,
    'grpc.keepalive_time_ms': 60_000,
    'grpc.initial_reconnect_backoff_ms': RECONNECT_MS,
    'grpc.max_reconnect_backoff_ms': RECONNECT_MS_MAX,
  });
  const link: Link = {
    connection,
    metadata(call) {
      const metadata = new grpc.Metadata();
      if (options.token) metadata.set('authorization', `Bearer ${options.token}`);
      for (const [name, value] of Object.entries(call?.headers ?? {})) metadata.set(name, value);
      return metadata;
    },
    streamOptions: (call) =>
      call?.timeoutMs === undefined ? {} : { deadline: clock.nowMs() + call.timeoutMs },
  };
  return {
    address: options.address,
    unary(method, init, call) {
      const request = create(method.input, init);
      const deadlineMs = clock.nowMs() + (call?.timeoutMs ?? timeoutMs);
      return withRetries(() => unaryOnce(link, method, request, deadlineMs, call), {
        repeatable: isRepeatable(method, request),
        retry,
        random,
        clock,
        deadlineMs,
        signal: call?.signal,
      });
    },
    serverStream: (method, init, call) => serverStream(link, method, init, call),
    clientStream: (method, requests, call) => clientStream(link, method, requests, call),
    bidiStream: (method, requests, call) => bidiStream(link, method, requests, call),
    close: () => connection.close(),
  };
}

function unaryOnce<I extends DescMessage, O extends DescMessage>(
  { connection, metadata }: Link,
  method: DescMethodUnary<I, O>,
  request: MessageShape<I>,
  deadlineMs: number,
  call: CallOptions | undefined,
): Promise<MessageShape<O>> {
  const { path, encode, decode } = wire(method);
  const options = { deadline: deadlineMs };
  return answered<MessageShape<O>>(
    (settled) => connection.makeUnaryRequest(path, encode, decode, request, metadata(call), options, settled),
    call?.signal,
  );
}

function serverStream<I extends DescMessage, O extends DescMessage>(
  { connection, metadata, streamOptions }: Link,
  method: DescMethodServerStreaming<I, O>,
  init: MessageInitShape<I>,
  call: CallOptions | undefined,
): AsyncIterable<MessageShape<O>> {
  const { path, encode, decode } = wire(method);
  const request = create(method.input, init);
  return received(
    () =>
      connection.makeServerStreamRequest(path, encode, decode, request, metadata(call), streamOptions(call)),
    call?.signal,
  );
}

function clientStream<I extends DescMessage, O extends DescMessage>(
  { connection, metadata, streamOptions }: Link,
  method: DescMethodClientStreaming<I, O>,
  requests: AsyncIterable<MessageInitShape<I>>,
  call: CallOptions | undefined,
): Promise<MessageShape<O>> {
  const { path, encode, decode } = wire(method);
  return answered<MessageShape<O>>((settled, fail) => {
    const options = streamOptions(call);
    const started = connection.makeClientStreamRequest(
      path,
      encode,
      decode,
      metadata(call),
      options,
      settled,
    );
    send(started, method.input, requests).catch((error: unknown) => {
      fail(error);
      started.cancel();
    });
    return started;
  }, call?.signal);
}

function bidiStream<I extends DescMessage, O extends DescMessage>(
  { connection, metadata, streamOptions }: Link,
  method: DescMethodBiDiStreaming<I, O>,
  requests: AsyncIterable<MessageInitShape<I>>,
  call: CallOptions | undefined,
): AsyncIterable<MessageShape<O>> {
  const { path, encode, decode } = wire(method);
  return received(() => {
    const started = connection.makeBidiStreamRequest(
      path,
      encode,
      decode,
      metadata(call),
      streamOptions(call),
    );
    send(started, method.input, requests).catch((error: unknown) => started.destroy(error as Error));
    return started;
  }, call?.signal);
}

function channelCredentials(tls: ChannelOptions['tls']): grpc.ChannelCredentials {
  if (!tls) return grpc.credentials.createInsecure();
  const read = (path: string | undefined) => (path === undefined ? null : readFileSync(path));
  return grpc.credentials.createSsl(read(tls.caFile), read(tls.keyFile), read(tls.certFile));
}

/** Path and codecs of a method. A Buffer of the encoded bytes shares their memory. */
function wire<I extends DescMessage, O extends DescMessage>(
  method: DescMethod & { readonly input: I; readonly output: O },
) {
  return {
    path: `/${method.parent.typeName}/${method.name}`,
    encode: (message: MessageShape<I>) => {
      const bytes = toBinary(method.input, message);
      return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    },
    decode: (bytes: Buffer) => fromBinary(method.output, bytes),
  };
}

/**
 * The one reply of a call, which is started here and cancelled when the signal aborts. `fail` rejects with the caller's
 * own error.
 */
function answered<Reply>(
  start: (settled: grpc.requestCallback<Reply>, fail: (error: unknown) => void) => { cancel(): void },
  signal: AbortSignal | undefined,
): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const started = start((error, reply) => {
      release();
      if (error) reject(decodeError(error));
      else if (reply === undefined) reject(new Error('the call ended without a reply'));
      else resolve(reply);
    }, reject);
    const release = cancelOnAbort(started, signal);
  });
}

/** Cancels a call when the signal aborts; returns what undoes that. */
function cancelOnAbort(call: { cancel(): void }, signal: AbortSignal | undefined): () => void {
  if (!signal) return () => {};
  const cancel = () => call.cancel();
  if (signal.aborted) cancel();
  else signal.addEventListener('abort', cancel, { once: true });
  return () => signal.removeEventListener('abort', cancel);
}

/** Replies of a streaming call, which starts with the first one asked for and is cancelled when the reader leaves. */
async function* received<Reply>(
  start: () => grpc.ClientReadableStream<Reply> | grpc.ClientDuplexStream<never, Reply>,
  signal: AbortSignal | undefined,
): AsyncGenerator<Reply, void, undefined> {
  const call = start();
  const release = cancelOnAbort(call, signal);
  call.on('error', () => {}); // The loop below reports it; one that comes after the reader left has no reader.
  try {
    for await (const reply of call) yield reply as Reply;
  } catch (error) {
    throw decodeError(error);
  } finally {
    release();
    call.cancel();
  }
}

/** Writes requests as fast as the connection takes them, then half-closes. Stops when the call has ended. */
async function send<I extends DescMessage>(
  call: grpc.ClientWritableStream<MessageShape<I>>,
  schema: I,
  requests: AsyncIterable<MessageInitShape<I>>,
): Promise<void> {
  let ended = false;
  let wake = () => {};
  const onEnd = () => {
    ended = true;
    wake();
  };
  call.on('close', onEnd);
  call.on('error', onEnd);
  call.on('status', onEnd);
  for await (const request of requests) {
    if (ended) return;
    if (call.write(create(schema, request))) continue;
    await new Promise<void>((resolve) => {
      wake = resolve;
      call.once('drain', resolve);
    });
  }
  if (!ended) call.end();
}
