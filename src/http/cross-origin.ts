/**
 * Cross-origin requests of browsers (CORS, of the Fetch standard): allowed for the origins named in the configuration,
 * which are compared as they are, and for nobody else. No cookies: credentials travel in `authorization` only.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';

/** How long a browser may keep the answer to a preflight, seconds. */
const MAX_AGE_SECONDS = 600;
const REQUEST_HEADERS = 'authorization, content-type, content-encoding, homeostat-criticality, traceparent';

export interface CrossOrigin {
  /** Adds to an answer what a browser needs to show it to its page; before the answer is sent. */
  mark(request: IncomingMessage, response: ServerResponse): void;
  /** Answers a preflight of an allowed origin, for a path that takes `methods`. Whether it was one. */
  preflight(request: IncomingMessage, response: ServerResponse, methods: string): boolean;
}

/** `origins` as `https://console.example.com`. */
export function createCrossOrigin(origins: readonly string[]): CrossOrigin {
  const allowed: ReadonlySet<string> = new Set(origins);
  const allowedOrigin = ({ headers: { origin } }: IncomingMessage) =>
    origin !== undefined && allowed.has(origin) ? origin : undefined;
  return {
    mark(request, response) {
      if (allowed.size === 0) return;
      response.setHeader('vary', 'origin');
      const origin = allowedOrigin(request);
      if (origin === undefined) return;
      response.setHeader('access-control-allow-origin', origin);
      response.setHeader('access-control-expose-headers', 'retry-after');
    },
    preflight(request, response, methods) {
      if (request.method !== 'OPTIONS' || allowedOrigin(request) === undefined) return false;
      if (request.headers['access-control-request-method'] === undefined) return false;
      response.writeHead(204, {
        'access-control-allow-methods': methods,
        'access-control-allow-headers': REQUEST_HEADERS,
        'access-control-max-age': String(MAX_AGE_SECONDS),
      });
      response.end();
      return true;
    },
  };
}
