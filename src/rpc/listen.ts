/** Opens a listening socket on a configured address, or says in one sentence why that cannot be. */
import type { Server } from 'node:net';
import { AppError, describeError } from '../errors.ts';

/**
 * Listens on `host:port` (port 0 takes a free one; IPv6 hosts stand in brackets) and resolves with the address that was
 * taken. `what` begins the sentence of a refusal ("gRPC"), `setting` names what to change. Throws AppError
 * ADDRESS_UNUSABLE.
 */
export function listen(server: Server, address: string, what: string, setting: string): Promise<string> {
  const colon = address.lastIndexOf(':');
  const host = address.slice(0, colon).replace(/^\[|\]$/g, '');
  const port = Number(address.slice(colon + 1));
  return new Promise((resolve, reject) => {
    const onError = (error: NodeJS.ErrnoException) => {
      const message = `${what} cannot listen on ${address}: ${describeCause(error)}; change ${setting}`;
      reject(
        new AppError(
          { domain: 'homeostat.edge', reason: 'ADDRESS_UNUSABLE', kind: 'FAILED_PRECONDITION', message },
          { address, setting },
          { cause: error },
        ),
      );
    };
    server.once('error', onError);
    server.listen({ host, port }, () => {
      server.off('error', onError);
      const bound = server.address();
      const taken = typeof bound === 'object' && bound ? bound.port : port;
      resolve(`${address.slice(0, colon)}:${taken}`);
    });
  });
}

function describeCause(error: NodeJS.ErrnoException): string {
  if (error.code === 'EADDRINUSE') return 'another process has the port';
  if (error.code === 'EACCES') return 'this user may not take the port';
  if (error.code === 'EADDRNOTAVAIL' || error.code === 'ENOTFOUND') return 'this machine has no such address';
  return describeError(error);
}
