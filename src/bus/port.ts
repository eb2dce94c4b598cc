/** Questions about a TCP port on loopback: is it free, and does a NATS server of a given name answer there. */
import { createConnection, createServer } from 'node:net';

/** How long a server that accepted a connection may take to introduce itself. */
const GREETING_TIMEOUT_MS = 1_000;

/** A port nobody listens on now. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}

export function portIsFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}

/** Name of the NATS server that answers on the port; undefined when none does. */
export function serverNameAt(port: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = createConnection(port, '127.0.0.1');
    let greeting = '';
    const settle = (name?: string) => {
      socket.destroy();
      resolve(name);
    };
    socket.setTimeout(GREETING_TIMEOUT_MS, () => settle());
    socket.once('error', () => settle());
    socket.once('close', () => settle());
    socket.on('data', (chunk) => {
      greeting += chunk.toString('utf8');
      if (greeting.includes('\r\n')) settle(/"server_name":"([^"]*)"/.exec(greeting)?.[1]);
    });
  });
}
