/**
 * Bounds the memory of requests that have not come in whole. Who sends them is known only when they have, so whoever can
 * connect could fill it, a byte short of every message. Bytes are counted over all connections; the stream whose bytes
 * are too many is reset, and so is one that takes too long. Requests of client streams are not counted: their callers
 * are known from the first byte, and their messages are read one at a time.
 */
import { constants, type IncomingHttpHeaders, type ServerHttp2Stream } from 'node:http2';
import type { Clock, Timer } from '../clock.ts';

export interface UnfinishedLimits {
  /** Bytes of unfinished requests held at a time; default 256 MiB, more than the largest request. */
  readonly unfinishedBytesMax: number;
  /** Time a request has to come in whole, milliseconds; default 30,000. */
  readonly requestMs: number;
}

export interface UnfinishedRequests {
  /** Follows a stream that has just begun. */
  watch(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void;
  start(): void;
  stop(): void;
  /** Bytes held now. */
  readonly bytes: number;
}

const CALM = constants.NGHTTP2_ENHANCE_YOUR_CALM;
const SWEEP_MS = 1_000;

/** `isWhole` says whether a path is of a method that takes one request; `onReset` is told of each stream cut off. */
export function createUnfinishedRequests(
  limits: UnfinishedLimits,
  clock: Clock,
  isWhole: (path: string) => boolean,
  onReset: () => void,
): UnfinishedRequests {
  /** When each began, oldest first. */
  const begun = new Map<ServerHttp2Stream, number>();
  let held = 0;
  let timer: Timer | undefined;

  const reset = (stream: ServerHttp2Stream) => {
    onReset();
    stream.close(CALM);
  };
  const sweep = () => {
    const sinceMs = clock.monotonicMs() - limits.requestMs;
    for (const [stream, begunMs] of begun) {
      if (begunMs > sinceMs) return;
      begun.delete(stream);
      reset(stream);
    }
  };
  return {
    watch(stream, headers) {
      if (!isWhole(headers[':path'] ?? '')) return;
      let bytes = 0;
      begun.set(stream, clock.monotonicMs());
      const release = () => {
        held -= bytes;
        bytes = 0;
        begun.delete(stream);
      };
      stream.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
        held += chunk.length;
        if (held > limits.unfinishedBytesMax) reset(stream);
      });
      stream.once('end', release);
      stream.once('close', release);
    },
    start() {
      timer = clock.every(SWEEP_MS, sweep);
    },
    stop() {
      timer?.cancel();
    },
    get bytes() {
      return held;
    },
  };
}
