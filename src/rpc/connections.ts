/**
 * Takes TCP connections for the gRPC server: at most so many in all and from one address, and none that stays silent or,
 * with TLS, does not finish its handshake. A refused connection is closed before anything is read from it.
 */
import { createServer, type Socket } from 'node:net';
import { createServer as createTlsServer, type Server as TlsServer } from 'node:tls';
import type { Clock, Timer } from '../clock.ts';
import { listen } from './listen.ts';
import { isTrusted, type Tls } from './tls.ts';

export interface ConnectionLimits {
  /** Connections in all; default 1,000. */
  readonly connectionsMax: number;
  /** Connections from one address; default 100. */
  readonly connectionsPerAddressMax: number;
  /** Time a new connection has to send its first byte, or for its handshake, milliseconds; default 5,000. */
  readonly firstByteMs: number;
}

export interface Connections {
  /** Listens, and resolves with the address taken. */
  start(address: string): Promise<string>;
  /** Takes no more; those there are stay. */
  stop(): void;
  count(): number;
  /** Counts a connection that was dropped for another reason. */
  countRefused(reason: string): void;
  /** Refused or dropped connections by reason. */
  readonly refused: ReadonlyMap<string, number>;
}

/** `take` gets every accepted connection, once it is secure where there is TLS, and owns it. */
export function createConnections(
  limits: ConnectionLimits,
  clock: Clock,
  tls: Tls | undefined,
  take: (socket: Socket) => void,
): Connections {
  const byAddress = new Map<string, number>();
  const refused = new Map<string, number>();
  /** Connections nothing came from yet, or not yet secure, oldest first, by their other end. */
  const silent = new Map<string, { readonly socket: Socket; readonly sinceMs: number }>();
  let count = 0;
  let timer: Timer | undefined;

  const countRefused = (reason: string) => void refused.set(reason, (refused.get(reason) ?? 0) + 1);
  const refuse = (socket: Socket, reason: string) => {
    countRefused(reason);
    socket.destroy();
  };
  const handshakes =
    tls && createHandshakes(tls, countRefused, take, (socket) => silent.delete(endOf(socket)));
  const server = createServer({ noDelay: true }, (socket) => {
    const address = socket.remoteAddress ?? '';
    const fromAddress = byAddress.get(address) ?? 0;
    if (count >= limits.connectionsMax) return refuse(socket, 'CONNECTIONS');
    if (fromAddress >= limits.connectionsPerAddressMax) return refuse(socket, 'CONNECTIONS_PER_ADDRESS');
    count++;
    byAddress.set(address, fromAddress + 1);
    const end = endOf(socket);
    silent.set(end, { socket, sinceMs: clock.monotonicMs() });
    socket.once('close', () => {
      count--;
      silent.delete(end);
      const left = byAddress.get(address)! - 1;
      if (left > 0) byAddress.set(address, left);
      else byAddress.delete(address);
    });
    if (handshakes) handshakes.emit('connection', socket);
    else take(socket);
  });
  const dropSilent = () => {
    const nowMs = clock.monotonicMs();
    for (const [end, { socket, sinceMs }] of silent) {
      if (!tls && socket.bytesRead > 0) silent.delete(end);
      else if (nowMs - sinceMs >= limits.firstByteMs) refuse(socket, 'FIRST_BYTE');
    }
  };
  return {
    refused,
    countRefused,
    count: () => count,
    async start(address) {
      const taken = await listen(server, address, 'gRPC', 'HOMEOSTAT_GRPC_ADDRESS');
      timer = clock.every(Math.max(10, limits.firstByteMs / 5), dropSilent);
      return taken;
    },
    stop() {
      timer?.cancel();
      server.close();
    },
  };
}

/** The other end of a connection that is open. */
function endOf(socket: Socket): string {
  return `${socket.remoteAddress} ${socket.remotePort}`;
}

/** Makes the connections it is given (event `connection`) secure, and takes those whose client may go on. */
function createHandshakes(
  tls: Tls,
  countRefused: (reason: string) => void,
  take: (socket: Socket) => void,
  onSecure: (socket: Socket) => void,
): TlsServer {
  const server = createTlsServer({ ...tls.serverOptions(tls.mtls), ALPNProtocols: ['h2'] });
  tls.follow(server);
  server.on('secureConnection', (socket) => {
    onSecure(socket);
    if (isTrusted(socket)) return take(socket);
    countRefused('CERTIFICATE');
    socket.destroy();
  });
  server.on('tlsClientError', (error: NodeJS.ErrnoException, socket) => {
    if (error.code !== 'ECONNRESET') countRefused('HANDSHAKE');
    socket.destroy();
  });
  return server;
}
