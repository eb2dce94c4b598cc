/** HTTP/2 frames by hand (RFC 9113), for clients that keep to no rule but the one a test is about. */
import { TOKEN } from './edge-world.ts';
import { SERVICE } from './raw-client.ts';

export const FRAME = { DATA: 0, HEADERS: 1, RST_STREAM: 3, SETTINGS: 4, PING: 6, GOAWAY: 7 } as const;
export const END_HEADERS = 4;
export const END_STREAM = 1;

/** A frame; its length is that of the payload. */
export function frame(type: number, flags: number, streamId: number, payload: Uint8Array): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(streamId, 5);
  return Buffer.concat([head, payload]);
}

/** What every connection begins with: the preface and empty settings. */
export const PREFACE = Buffer.concat([
  Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
  frame(FRAME.SETTINGS, 0, 0, Buffer.alloc(0)),
]);

/** Headers as HPACK literals without indexing (RFC 7541, 6.2.2); names and values under 127 bytes. */
export function headerBlock(headers: Readonly<Record<string, string>>): Buffer {
  return Buffer.concat(
    Object.entries(headers).map(([name, value]) =>
      Buffer.concat([
        Buffer.from([0, name.length]),
        Buffer.from(name),
        Buffer.from([value.length]),
        Buffer.from(value),
      ]),
    ),
  );
}

/** The headers of a call with credentials. */
export const CALL_HEADERS = headerBlock({
  ':method': 'POST',
  ':scheme': 'http',
  ':path': `${SERVICE}/Mirror`,
  ':authority': 'localhost',
  'content-type': 'application/grpc',
  te: 'trailers',
  authorization: `Bearer ${TOKEN}`,
});

/** Frames in what was received, as far as they are whole. */
export function framesOf(bytes: Buffer): { readonly type: number; readonly payload: Buffer }[] {
  const frames: { type: number; payload: Buffer }[] = [];
  for (let at = 0; at + 9 <= bytes.length; ) {
    const end = at + 9 + bytes.readUIntBE(at, 3);
    if (end > bytes.length) break;
    frames.push({ type: bytes[at + 3]!, payload: bytes.subarray(at + 9, end) });
    at = end;
  }
  return frames;
}
