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
import { type Frame, FrameParser } from './frame-parser.ts';

const DEFAULT_PORT = 4222;
const CONNECT_TIMEOUT_MS = 5_000;
const KEEPALIVE_MS = 10_000;

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
