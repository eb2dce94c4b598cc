/** A bare HTTP/2 client, for what no gRPC client would do. */
import { type ClientHttp2Session, type ClientHttp2Stream, connect } from 'node:http2';
import { TOKEN } from './edge-world.ts';

export const SERVICE = '/homeostat.probe.v1.ProbeService';

/** A message with gRPC's five bytes before it; its length may be a lie. */
export function framed(message: Uint8Array, lengthGiven = message.length): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(lengthGiven, 1);
  return Buffer.concat([head, message]);
}

/** Connects; the session's errors are nobody's. */
export function openSession(address: string): ClientHttp2Session {
  const session = connect(`http://${address}`);
  session.on('error', () => {});
  return session;
}

/** Begins a call with credentials; its errors are nobody's. */
export function beginCall(
  session: ClientHttp2Session,
  path: string,
  headers: Record<string, string> = {},
): ClientHttp2Stream {
  const stream = session.request({
    ':method': 'POST',
    ':path': path,
    'content-type': 'application/grpc',
    te: 'trailers',
    authorization: `Bearer ${TOKEN}`,
    ...headers,
  });
  stream.on('error', () => {});
  return stream;
}

/** Headers and trailers of an answer, with the code of a reset. */
export function answerOf(stream: ClientHttp2Stream): Promise<Record<string, unknown>> {
  return new Promise((resolve) => {
    let answer: Record<string, unknown> = {};
    const read = (given: object) => {
      answer = { ...answer, ...given };
    };
    stream.on('response', read);
    stream.on('trailers', read);
    stream.on('close', () => resolve({ ...answer, rstCode: stream.rstCode }));
    stream.resume();
  });
}
