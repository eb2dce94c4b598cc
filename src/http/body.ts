/**
 * The body of a request: read within a time, unpacked where it is gzipped, and never more of it in memory than `bytesMax`
 * as sent and `bytesMax` unpacked. What is refused is not kept.
 */
import type { IncomingMessage } from 'node:http';
import { gunzip } from 'node:zlib';
import type { Clock } from '../clock.ts';
import { edgeError } from '../rpc/errors.ts';

export interface BodyLimits {
  /** Bytes a body may have, as sent and unpacked. */
  readonly bytesMax: number;
  /** Time it has to come, milliseconds. */
  readonly withinMs: number;
  readonly clock: Clock;
}

/**
 * Resolves with the unpacked body. Rejects with BODY_TYPE_UNKNOWN for an encoding that is not gzip, BODY_TOO_LARGE,
 * BODY_TOO_SLOW, MALFORMED for damaged gzip, and CANCELLED when the client goes away.
 */
export async function readBody(request: IncomingMessage, limits: BodyLimits): Promise<Buffer> {
  const encoding = (request.headers['content-encoding'] ?? 'identity').trim().toLowerCase();
  if (encoding !== 'gzip' && encoding !== 'identity')
    throw edgeError('BODY_TYPE_UNKNOWN', { header: 'content-encoding', allowed: 'gzip or none' });
  const body = await receive(request, limits);
  return encoding === 'gzip' ? unpack(body, limits.bytesMax) : body;
}

/** Reads and drops what is left of a body nobody wants; a client that sends on and on is cut off. */
export function dropBody(request: IncomingMessage, bytesMax: number): void {
  let left = bytesMax;
  request.on('data', (chunk: Buffer) => {
    left -= chunk.length;
    if (left < 0) request.destroy();
  });
  request.resume();
}

function receive(request: IncomingMessage, { bytesMax, withinMs, clock }: BodyLimits): Promise<Buffer> {
  if (Number(request.headers['content-length'] ?? 0) > bytesMax) return Promise.reject(tooLarge(bytesMax));
  if (request.destroyed) return Promise.reject(edgeError('CANCELLED', {}));
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    const settle = (finish: () => void) => {
      timer.cancel();
      request.off('data', onData);
      request.off('end', onEnd);
      request.off('close', onClose);
      finish();
    };
    const onData = (chunk: Buffer) => {
      size += chunk.length;
      if (size > bytesMax) settle(() => reject(tooLarge(bytesMax)));
      else chunks.push(chunk);
    };
    const onEnd = () => settle(() => resolve(Buffer.concat(chunks, size)));
    const onClose = () => settle(() => reject(edgeError('CANCELLED', {})));
    const timer = clock.after(withinMs, () => settle(() => reject(edgeError('BODY_TOO_SLOW', {}))), true);
    request.on('data', onData);
    request.on('end', onEnd);
    request.on('close', onClose);
  });
}

function unpack(packed: Buffer, bytesMax: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    gunzip(packed, { maxOutputLength: bytesMax }, (error, body) => {
      if (error === null) resolve(body);
      else if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') reject(tooLarge(bytesMax));
      else reject(edgeError('MALFORMED', { type: 'gzip stream' }, { cause: error }));
    });
  });
}

function tooLarge(limit: number) {
  return edgeError('BODY_TOO_LARGE', { limit }, { retryAfterMs: -1 });
}
