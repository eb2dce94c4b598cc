/** One GET from a server on this machine, without a library and without a connection that is kept. */
import { get, type RequestOptions } from 'node:http';
import { get as getSecurely } from 'node:https';
import type { Config } from '../../config.ts';

export interface HttpAnswer {
  readonly status: number;
  readonly body: string;
}

/**
 * Asks `host:port` for a path, as the server of a configuration speaks there. Its certificate is not checked: what is asked
 * is no secret, and what is wrong with the certificate is a finding of its own. Rejects with the system's error, or when
 * the signal aborts.
 */
export function httpGet(
  config: Pick<Config, 'TLS_CERT_FILE'>,
  address: string,
  path: string,
  signal: AbortSignal,
): Promise<HttpAnswer> {
  const options: RequestOptions = { ...reachable(address), path, signal, agent: false };
  const secure = config.TLS_CERT_FILE !== '';
  return new Promise((resolve, reject) => {
    const request = (secure ? getSecurely : get)({ ...options, rejectUnauthorized: false }, (response) => {
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
