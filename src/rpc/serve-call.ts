/**
 * Runs one call of each kind: checks, request, handler, reply. The one place every handler is wrapped in. A handler is
 * an async function or an async iterable; it waits for the client's reading between two replies, and whatever it
 * throws becomes the call's status.
 */
import type {
  handleBidiStreamingCall,
  handleClientStreamingCall,
  handleServerStreamingCall,
  handleUnaryCall,
  ServerDuplexStream,
  ServerReadableStream,
  ServerUnaryCall,
  ServerWritableStream,
  sendUnaryData,
} from '@grpc/grpc-js';
import type { Edge } from './edge.ts';
import { EdgeCall } from './edge-call.ts';
import type { Method } from './method.ts';
import { cutOff, replyAndEnd } from './transport.ts';

type Handler = (request: unknown, call: EdgeCall) => unknown;
type Single = ServerUnaryCall<Buffer, Buffer> | ServerReadableStream<Buffer, Buffer>;
type Streaming = ServerWritableStream<Buffer, Buffer> | ServerDuplexStream<Buffer, Buffer>;

/** The function grpc-js calls for each call of a method. */
export function serve(
  edge: Edge,
  method: Method,
): handleUnaryCall<Buffer, Buffer> &
  handleClientStreamingCall<Buffer, Buffer> &
  handleServerStreamingCall<Buffer, Buffer> &
  handleBidiStreamingCall<Buffer, Buffer> {
  const isMany = method.kind === 'server_streaming' || method.kind === 'bidi_streaming';
  return (surface: Single | Streaming, respond?: sendUnaryData<Buffer>) =>
    void (isMany
      ? answerMany(edge, method, surface as Streaming)
      : answerOnce(edge, method, surface, respond!));
}

/** Unary and client-streaming calls. */
async function answerOnce(
  edge: Edge,
  method: Method,
  surface: Single,
  respond: sendUnaryData<Buffer>,
): Promise<void> {
  const call = new EdgeCall(edge, method, surface, respond);
  try {
    const entering = edge.enter(call);
    if (entering) await entering;
    if (call.settled) return;
    const answer = (method.handler as Handler)(requestOf(edge, call, surface), call);
    const reply = method.write(answer instanceof Promise ? await answer : answer);
    const auditing = call.ensureAudited();
    if (auditing) await auditing;
    if (call.finish()) replyAndEnd(surface, reply);
  } catch (thrown) {
    call.fail(thrown);
  }
}

/** Server-streaming and bidirectional calls. */
async function answerMany(edge: Edge, method: Method, surface: Streaming): Promise<void> {
  const call = new EdgeCall(edge, method, surface, (status) => {
    const isStalled = call.unsentBytes > 0;
    surface.emit('error', status); // The status follows what is unsent.
    if (isStalled) edge.clock.after(edge.limits.stallMs, () => cutOff(surface), true);
  });
  try {
    call.watchCancel();
    const entering = edge.enter(call);
    if (entering) await entering;
    if (call.settled) return;
    const replies = (method.handler as Handler)(
      requestOf(edge, call, surface),
      call,
    ) as AsyncIterable<unknown>;
    for await (const reply of replies) {
      if (call.settled) return;
      const auditing = call.ensureAudited();
      if (auditing) await auditing;
      await send(call, surface, method.write(reply));
      if (call.settled) return;
    }
    await call.ensureAudited();
    if (call.finish()) surface.end();
  } catch (thrown) {
    call.fail(thrown);
  }
}

/** Resolves when the client has taken the message, or the call has its status. */
function send(call: EdgeCall, surface: Streaming, bytes: Buffer): Promise<void> {
  return new Promise((resolve) => {
    call.onSettled = resolve;
    call.writing(bytes.length);
    surface.write(bytes, () => {
      call.written();
      resolve();
    });
  });
}

function requestOf(edge: Edge, call: EdgeCall, surface: Single | Streaming): unknown {
  if ('request' in surface) return edge.take(call, surface.request);
  edge.chargeStream(call);
  call.watchCancel();
  return requestsOf(call, surface);
}

/**
 * The requests of a stream, decoded and checked one at a time. Throws why the call is to end early, once it is. A client
 * made of Node half-closes just before it resets a call, which may be read as the end of its requests: what must not
 * take effect by accident needs an end of its own in the contract.
 */
async function* requestsOf(
  call: EdgeCall,
  surface: ServerReadableStream<Buffer, Buffer> | ServerDuplexStream<Buffer, Buffer>,
): AsyncGenerator<unknown, void, undefined> {
  let wake = () => {};
  let ended = false;
  const onReadable = () => wake();
  const onEnd = () => {
    ended = true;
    wake();
  };
  surface.on('readable', onReadable);
  surface.on('end', onEnd);
  call.whenAborted(() => wake());
  try {
    for (;;) {
      call.throwIfAborted();
      const bytes: Buffer | null = surface.read();
      if (bytes !== null) yield readRequest(call.method, bytes);
      else if (ended) return;
      else
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
    }
  } finally {
    surface.off('readable', onReadable);
    surface.off('end', onEnd);
  }
}

function readRequest(method: Method, bytes: Buffer): unknown {
  const request = method.decode(bytes);
  method.check(request);
  return request;
}
