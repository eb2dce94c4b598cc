/**
 * The receiving side of the NATS client protocol (https://docs.nats.io/reference/reference-protocols/nats-protocol),
 * as little of it as telemetry needs: INFO, CONNECT, TLS, PING, SUB, PUB, MSG, HMSG. It exists for speed: it hands over
 * offsets into the socket's buffer where the client library makes seven objects and two strings per message, at a
 * third of the cost. It never reconnects; its owner opens another.
 */
import { readFileSync } from 'node:fs';
import { createConnection, isIP, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { credsAuthenticator } from '@nats-io/transport-node';
import { describeError } from '../errors.ts';
import type { ConnectOptions } from './connection.ts';

const DEFAULT_PORT = 4222;
const CONNECT_TIMEOUT_MS = 5_000;
const KEEPALIVE_MS = 10_000;
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

export interface WireOptions {
  readonly connect: ConnectOptions;
  readonly onFrame: (frame: Frame) => void;
  /** Called once before the frames of one read of the socket. */
  readonly onRead: () => void;
  /** Called once when the connection has ended, for whatever cause; not after `close`. */
  readonly onClosed: (detail: string) => void;
}

export interface Wire {
  subscribe(subject: string): void;
  publish(subject: string, payload: string, reply?: string): void;
  close(): void;
}

interface Info {
  readonly nonce?: string;
  readonly tls_required?: boolean;
}

/** Connects to the first of the servers that answers. Rejects with the last failure. */
export async function openWire(options: WireOptions): Promise<Wire> {
  let failure: unknown;
  for (const one of options.connect.url.split(',')) {
    const url = new URL(one.includes('://') ? one.trim() : `nats://${one.trim()}`);
    try {
      return await openTo(url, options);
    } catch (error) {
      failure = error;
    }
  }
  throw failure;
}

async function openTo(url: URL, options: WireOptions): Promise<Wire> {
  const host = url.hostname.replace(/^\[|\]$/g, '');
  const plain = createConnection(Number(url.port || DEFAULT_PORT), host);
  plain.setNoDelay(true);
  plain.setKeepAlive(true, KEEPALIVE_MS);
  const info = await greeting(plain);
  const { caFile } = options.connect;
  const secure = info.tls_required === true || caFile !== undefined || url.protocol === 'tls:';
  const socket = secure ? await secured(plain, host, caFile) : plain;
  const parser = new FrameParser(options.onFrame);
  await login(socket, parser, connectLine(url, options.connect, info));

  let open = true;
  const end = (detail: string) => {
    if (!open) return;
    open = false;
    socket.destroy();
    options.onClosed(detail);
  };
  parser.onPing = () => socket.write('PONG\r\n');
  parser.onError = end;
  socket.on('data', (chunk: Buffer) => {
    options.onRead();
    parser.push(chunk);
  });
  socket.once('error', (error) => end(describeError(error)));
  socket.once('close', () => end('the connection broke'));
  return {
    subscribe: (subject) => socket.write(`SUB ${subject} 1\r\n`),
    publish(subject, payload, reply) {
      const subjects = reply === undefined ? subject : `${subject} ${reply}`;
      socket.write(`PUB ${subjects} ${Buffer.byteLength(payload)}\r\n${payload}\r\n`);
    },
    close() {
      open = false;
      socket.destroy();
    },
  };
}

/**
 * Waits for one thing on a socket: `begin` listens and settles through its arguments. Closing, an error and silence
 * reject. Leaves no listener behind; destroys the socket when it rejects.
 */
function awaitOn<Result>(
  socket: Socket,
  begin: (resolve: (result: Result) => void, reject: (error: Error) => void) => (chunk: Buffer) => void,
): Promise<Result> {
  return new Promise((resolve, reject) => {
    const settle = (finish: () => void) => {
      socket.setTimeout(0, silent);
      socket.off('data', read).off('error', fail).off('close', closed);
      finish();
    };
    const fail = (error: Error) =>
      settle(() => {
        socket.on('error', () => {}); // Whatever destroying it still brings: the first failure is the one told.
        socket.destroy();
        reject(error);
      });
    const closed = () => fail(new Error('the server closed the connection'));
    const silent = () => fail(new Error('the server does not answer'));
    const read = begin((result) => settle(() => resolve(result)), fail);
    socket.setTimeout(CONNECT_TIMEOUT_MS, silent);
    socket.on('data', read).once('error', fail).once('close', closed);
  });
}

/** The server speaks first. */
function greeting(socket: Socket): Promise<Info> {
  return awaitOn(socket, (resolve, reject) => {
    let text = '';
    return (chunk) => {
      text += chunk.toString('utf8');
      const end = text.indexOf('\r\n');
      if (end < 0) return;
      if (text.startsWith('INFO ')) resolve(JSON.parse(text.slice(5, end)) as Info);
      else reject(new Error('this is no NATS server'));
    };
  });
}

function secured(socket: Socket, host: string, caFile: string | undefined): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const tls = connectTls({
      socket,
      host,
      ...(isIP(host) === 0 && { servername: host }),
      ...(caFile !== undefined && { ca: readFileSync(caFile) }),
    });
    const silent = () => tls.destroy(new Error('the server does not complete the TLS handshake'));
    tls.setTimeout(CONNECT_TIMEOUT_MS, silent);
    tls.once('error', reject);
    tls.once('secureConnect', () => {
      tls.setTimeout(0, silent);
      tls.off('error', reject);
      resolve(tls);
    });
  });
}

/** Resolves with the first PONG: the server took the credentials. */
function login(socket: Socket, parser: FrameParser, line: string): Promise<void> {
  return awaitOn(socket, (resolve, reject) => {
    parser.onError = (detail) => reject(new Error(detail));
    parser.onPong = resolve;
    socket.write(line);
    return (chunk) => parser.push(chunk);
  });
}

function connectLine(url: URL, { credsFile, name }: ConnectOptions, info: Info): string {
  const user = decodeURIComponent(url.username);
  const pass = decodeURIComponent(url.password);
  const login = url.password === '' ? { auth_token: user } : { user, pass };
  const creds =
    credsFile === undefined ? {} : credsAuthenticator(new Uint8Array(readFileSync(credsFile)))(info.nonce);
  return `CONNECT ${JSON.stringify({
    lang: 'homeostat',
    version: '1',
    name,
    protocol: 1,
    verbose: false,
    pedantic: false,
    headers: true,
    no_responders: true,
    ...(user === '' ? {} : login),
    ...creds,
  })}\r\nPING\r\n`;
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
