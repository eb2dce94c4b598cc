/**
 * RPCs that can also be called by POST, with the same policy, as protobuf or as JSON. Contexts make them, `server.ts`
 * hands them to the HTTP edge.
 */
import type { DescMessage, DescMethodUnary, MessageInitShape } from '@bufbuild/protobuf';
import type { BodyFormat } from './format.ts';

/** What was posted. */
export interface PostedBody {
  /** Unpacked, not decoded. */
  readonly bytes: Uint8Array;
  readonly format: BodyFormat['name'];
}

export interface HttpRoute {
  /** `/v1/metrics`; matched exactly. */
  readonly path: string;
  readonly method: DescMethodUnary;
  /** Answers with the method's output, written as the request was; the signal aborts when the client goes away. */
  readonly handle: (body: PostedBody, signal: AbortSignal) => Promise<MessageInitShape<DescMessage>>;
}

export function httpRoute<Input extends DescMessage, Output extends DescMessage>(
  path: string,
  method: DescMethodUnary<Input, Output>,
  handle: (body: PostedBody, signal: AbortSignal) => Promise<MessageInitShape<Output>>,
): HttpRoute {
  return { path, method, handle };
}
