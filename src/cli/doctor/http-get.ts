/** One GET from a server on this machine, without a library and without a connection that is kept. */
import { get } from 'node:http';

export interface HttpAnswer {
  readonly status: number;
  readonly body: string;
}

/** Asks `host:port` for a path. Rejects with the system's error, or when the signal aborts. */
export function httpGet(address: string, path: string, signal: AbortSignal): Promise<HttpAnswer> {
  const { host, port } = reachable(address);
  return new Promise((resolve, reject) => {
    const request = get({ host, port, path, signal, agent: false }, (response) => {
      let body = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => {
        body += chunk;
      });
      response.once('end', () => resolve({ status: response.statusCode ?? 0, body }));
      response.once('error', reject);
    });
    request.once('error', reject);
  });
}

/** Where to reach what listens on an address: all interfaces are no place to connect to, loopback is one of them. */
function reachable(address: string): { host: string; port: number } {
  const colon = address.lastIndexOf(':');
  const host = address.slice(0, colon).replace(/^\[|\]$/g, '');
  const everywhere: Readonly<Record<string, string>> = { '0.0.0.0': '127.0.0.1', '::': '::1' };
  return { host: everywhere[host] ?? host, port: Number(address.slice(colon + 1)) };
}
