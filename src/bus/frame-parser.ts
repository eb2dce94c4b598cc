/**
 * Cuts the byte stream of the NATS client protocol into messages, handed over as offsets into the socket's own buffer.
 */

const SPACE = 0x20;
const CR = 0x0d;
const LETTER_M = 0x4d;
const LETTER_H = 0x48;
const DIGIT_0 = 0x30;

/** One message as offsets into `bytes`, valid only during the callback. The object is reused for the next one. */
export interface Frame {
  bytes: Buffer;
  subjectStart: number;
  subjectEnd: number;
  /** Equal to `replyEnd` when there is no reply subject. */
  replyStart: number;
  replyEnd: number;
  /** Start of the headers; equal to `dataStart` when there are none. */
  headersStart: number;
  dataStart: number;
  dataEnd: number;
}

/**
 * Cuts the byte stream into frames. Invariant: `#kept` holds the beginning of one unfinished operation, and `#needed`
 * bytes are wanted before it is worth reading again, so a large message is put together once.
 */
export class FrameParser {
  onPing: () => void = () => {};
  onPong: () => void = () => {};
  onError: (detail: string) => void = () => {};
  readonly #onFrame: (frame: Frame) => void;
  readonly #frame: Frame = {
    bytes: Buffer.alloc(0),
    subjectStart: 0,
    subjectEnd: 0,
    replyStart: 0,
    replyEnd: 0,
    headersStart: 0,
    dataStart: 0,
    dataEnd: 0,
  };
  #kept: Buffer[] = [];
  #keptBytes = 0;
  #needed = 0;

  constructor(onFrame: (frame: Frame) => void) {
    this.#onFrame = onFrame;
  }

  /** Takes the next bytes and hands over every frame they complete. */
  push(chunk: Buffer): void {
    let bytes = chunk;
    if (this.#keptBytes > 0) {
      this.#kept.push(chunk);
      this.#keptBytes += chunk.length;
      if (this.#keptBytes < this.#needed) return;
      bytes = Buffer.concat(this.#kept, this.#keptBytes);
    }
    this.#kept = [];
    this.#keptBytes = 0;
    this.#needed = 0;
    let at = 0;
    while (at < bytes.length) {
      const first = bytes[at];
      const end =
        first === LETTER_M || first === LETTER_H ? this.#message(bytes, at) : this.#control(bytes, at);
      if (end < 0) {
        this.#kept = [bytes.subarray(at)];
        this.#keptBytes = bytes.length - at;
        return;
      }
      at = end;
    }
  }

  /** `MSG subject sid [reply] size` or `HMSG subject sid [reply] headers total`. Returns its end, -1 if unfinished. */
  #message(bytes: Buffer, start: number): number {
    const { length } = bytes;
    const withHeaders = bytes[start] === LETTER_H;
    const frame = this.#frame;
    let at = start + (withHeaders ? 5 : 4);
    frame.subjectStart = at;
    while (at < length && bytes[at] !== SPACE) at++;
    frame.subjectEnd = at++;
    while (at < length && bytes[at] !== SPACE) at++;
    // What follows the subscription's number: an optional reply subject, then one or two sizes.
    let token = ++at;
    let previous = at;
    let beforePrevious = at;
    let tokens = 1;
    for (; at < length && bytes[at] !== CR; at++) {
      if (bytes[at] !== SPACE) continue;
      beforePrevious = previous;
      previous = token;
      token = at + 1;
      tokens++;
    }
    if (at + 2 > length) return -1;
    const size = readNumber(bytes, token);
    const headerBytes = withHeaders ? readNumber(bytes, previous) : 0;
    const hasReply = tokens > (withHeaders ? 2 : 1);
    const replyEnd = (withHeaders ? previous : token) - 1;
    frame.replyStart = hasReply ? (withHeaders ? beforePrevious : previous) : replyEnd;
    frame.replyEnd = replyEnd;
    frame.headersStart = at + 2;
    frame.dataStart = frame.headersStart + headerBytes;
    frame.dataEnd = frame.headersStart + size;
    const end = frame.dataEnd + 2;
    if (end > length) {
      this.#needed = end - start;
      return -1;
    }
    frame.bytes = bytes;
    this.#onFrame(frame);
    return end;
  }

  #control(bytes: Buffer, start: number): number {
    const lineEnd = bytes.indexOf('\r\n', start);
    if (lineEnd < 0) return -1;
    const line = bytes.toString('utf8', start, lineEnd);
    if (line === 'PING') this.onPing();
    else if (line === 'PONG') this.onPong();
    else if (line.startsWith('-ERR')) this.onError(line.slice(5));
    return lineEnd + 2;
  }
}

/** Reads a decimal number that ends at the first byte below the digits. */
export function readNumber(bytes: Buffer, start: number): number {
  let value = 0;
  for (let at = start; ; at++) {
    const byte = bytes[at]!;
    if (!(byte >= DIGIT_0)) return value;
    value = value * 10 + byte - DIGIT_0;
  }
}
