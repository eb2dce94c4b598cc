/**
 * Clients that do not wait for each other: calls start when they are due, whatever became of those before. A refused one
 * is made again when the server has said, unless that is after its deadline, as stock clients do.
 */
import { type ClientHttp2Session, connect } from 'node:http2';

export interface Stream {
  readonly path: string;
  /** Calls started per second. */
  readonly perSecond: number;
  readonly seconds: number;
  /** Deadline of a call, all of its attempts included, seconds. */
  readonly patienceSeconds: number;
}

export interface Outcome {
  /** Seconds after the start of the stream at which it was due. */
  readonly dueSeconds: number;
  /** Attempts made. */
  readonly attempts: number;
  /** gRPC status of the last attempt; -1 where the connection failed. */
  readonly status: number;
  readonly latencyMs: number;
}

export interface Clients {
  /** Runs a stream; resolves with the outcome of each of its calls once all are known. */
  run(stream: Stream): Promise<readonly Outcome[]>;
  /** Keeps so many calls under way for a time; resolves with calls answered per second. */
  saturate(path: string, concurrency: number, seconds: number): Promise<number>;
  close(): void;
}

const ATTEMPTS_MAX = 4;
const CONNECTIONS = 8;
const TICK_MS = 5;

export function connectClients(address: string, token: string): Clients {
  const sessions = Array.from({ length: CONNECTIONS }, () => connect(`http://${address}`));
  for (const session of sessions) session.on('error', () => {});
  let next = 0;
  const headers = {
    ':method': 'POST',
    'content-type': 'application/grpc',
    te: 'trailers',
    authorization: `Bearer ${token}`,
  };
  const call = (path: string, timeoutMs: number) => {
    const own = { ':path': path, 'grpc-timeout': `${Math.ceil(timeoutMs)}m` };
    return attempt(sessions[next++ % CONNECTIONS]!, { ...headers, ...own });
  };

  const settle = async (path: string, patienceMs: number, dueSeconds: number): Promise<Outcome> => {
    const startedMs = performance.now();
    const passedMs = () => performance.now() - startedMs;
    for (let attempts = 1; ; attempts++) {
      const { status, pushbackMs } = await call(path, patienceMs - passedMs());
      const isLast = attempts === ATTEMPTS_MAX || passedMs() + pushbackMs >= patienceMs;
      if (status === 0 || pushbackMs < 0 || isLast)
        return { dueSeconds, attempts, status, latencyMs: passedMs() };
      await new Promise((resolve) => setTimeout(resolve, pushbackMs));
    }
  };

  return {
    run: ({ path, perSecond, seconds, patienceSeconds }) =>
      new Promise((resolve) => {
        const total = Math.floor(perSecond * seconds);
        const outcomes: Promise<Outcome>[] = [];
        const startMs = performance.now();
        const ticking = setInterval(() => {
          const due = Math.min(total, Math.floor(((performance.now() - startMs) * perSecond) / 1000));
          while (outcomes.length < due) {
            outcomes.push(settle(path, patienceSeconds * 1000, outcomes.length / perSecond));
          }
          if (outcomes.length < total) return;
          clearInterval(ticking);
          resolve(Promise.all(outcomes));
        }, TICK_MS);
      }),
    async saturate(path, concurrency, seconds) {
      const startMs = performance.now();
      let answered = 0;
      const worker = async () => {
        while (performance.now() - startMs < seconds * 1000)
          if ((await call(path, 30_000)).status === 0) answered++;
      };
      await Promise.all(Array.from({ length: concurrency }, worker));
      return (answered / (performance.now() - startMs)) * 1000;
    },
    close: () => {
      for (const session of sessions) session.destroy();
    },
  };
}

/** One attempt; `pushbackMs` is -1 where the server did not say when to come again. */
function attempt(session: ClientHttp2Session, headers: Record<string, string>) {
  return new Promise<{ status: number; pushbackMs: number }>((resolve) => {
    const stream = session.request(headers);
    let status = -1;
    let pushbackMs = -1;
    const read = (given: Record<string, unknown>) => {
      if (given['grpc-status'] !== undefined) status = Number(given['grpc-status']);
      if (given['grpc-retry-pushback-ms'] !== undefined) pushbackMs = Number(given['grpc-retry-pushback-ms']);
    };
    stream.on('response', read);
    stream.on('trailers', read);
    stream.on('error', () => {});
    stream.on('close', () => resolve({ status, pushbackMs }));
    stream.resume();
    stream.end(Buffer.alloc(5));
  });
}
