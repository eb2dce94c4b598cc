/**
 * Takes TCP connections for the gRPC server: at most so many in all and from one address, and none that stays silent.
 * A refused connection is closed before anything is read from it.
 */
import { createServer, type Socket } from 'node:net';
import type { Clock, Timer } from '../clock.ts';
import { listen } from './listen.ts';

export interface ConnectionLimits {
  /** Connections in all; default 1,000. */
  readonly connectionsMax: number;
  /** Connections from one address; default 100. */
  readonly connectionsPerAddressMax: number;
  /** Time a new connection has to send its first byte, milliseconds; default 5,000. */
  readonly firstByteMs: number;
}

export interface Connections {
  /** Listens, and resolves with the address taken. */
  start(address: string): Promise<string>;
  /** Takes no more; those there are stay. */
  stop(): void;
  count(): number;
  /** Refused or dropped connections by reason. */
  readonly refused: ReadonlyMap<string, number>;
}

/** `take` gets every accepted connection and owns it. */
export function createConnections(
  limits: ConnectionLimits,
  clock: Clock,
  take: (socket: Socket) => void,
): Connections {
  const byAddress = new Map<string, number>();
  const refused = new Map<string, number>();
  /** Connections nothing came from yet, oldest first, with the time they were made. */
  const silent = new Map<Socket, number>();
  let count = 0;
  let timer: Timer | undefined;

  const refuse = (socket: Socket, reason: string) => {
    refused.set(reason, (refused.get(reason) ?? 0) + 1);
    socket.destroy();
  };
  const server = createServer({ noDelay: true }, (socket) => {
    const address = socket.remoteAddress ?? '';
    const fromAddress = byAddress.get(address) ?? 0;
    if (count >= limits.connectionsMax) return refuse(socket, 'CONNECTIONS');
    if (fromAddress >= limits.connectionsPerAddressMax) return refuse(socket, 'CONNECTIONS_PER_ADDRESS');
    count++;
    byAddress.set(address, fromAddress + 1);
    silent.set(socket, clock.monotonicMs());
    socket.once('close', () => {
      count--;
      silent.delete(socket);
      const left = byAddress.get(address)! - 1;
      if (left > 0) byAddress.set(address, left);
      else byAddress.delete(address);
    });
    take(socket);
  });
  const dropSilent = () => {
    const nowMs = clock.monotonicMs();
    for (const [socket, sinceMs] of silent) {
      if (socket.bytesRead > 0) silent.delete(socket);
      else if (nowMs - sinceMs >= limits.firstByteMs) refuse(socket, 'FIRST_BYTE');
    }
  };
  return {
    refused,
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
