/**
 * Open-loop load on a unary gRPC method: calls start when they are due, whatever became of those before, and their
 * latency counts from when they were due. So a server that stalls pays for every call that had to wait.
 */
import { type ClientHttp2Session, connect, type IncomingHttpHeaders } from 'node:http2';

export interface OpenLoop {
  readonly address: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
  /** Calls started per second. */
  readonly ratePerSecond: number;
  readonly seconds: number;
  readonly connections: number;
}

/** Latencies in milliseconds, ascending. Rejects when a call fails. The first tenth of the time does not count. */
export async function runOpenLoop(load: OpenLoop): Promise<Float64Array> {
  const sessions = Array.from({ length: load.connections }, () => connect(`http://${load.address}`));
  // What goes wrong under a call, the call tells; a reset while both ends close a connection goes wrong under none.
  for (const session of sessions) session.on('error', () => {});
  try {
    const total = Math.floor(load.ratePerSecond * load.seconds);
    const warm = Math.floor(total / 10);
    const latencies = new Float64Array(total - warm);
    await new Promise<void>((resolve, reject) => {
      const startMs = performance.now();
      let started = 0;
      let finished = 0;
      const tick = () => {
        const due = Math.min(total, Math.floor(((performance.now() - startMs) * load.ratePerSecond) / 1000));
        for (; started < due; started++) {
          const index = started;
          const dueMs = startMs + (index * 1000) / load.ratePerSecond;
          callOnce(sessions[index % sessions.length]!, load, reject, () => {
            if (index >= warm) latencies[index - warm] = performance.now() - dueMs;
            if (++finished === total) resolve();
          });
        }
        if (started < total) setTimeout(tick, 1);
      };
      tick();
    });
    return latencies.sort();
  } finally {
    for (const session of sessions) session.destroy();
  }
}

/** Makes one call; rejects unless it is answered OK. h2load looks at HTTP alone, where a refusal is a 200. */
export async function checkCall(
  call: Pick<OpenLoop, 'address' | 'path' | 'headers' | 'body'>,
): Promise<void> {
  await runOpenLoop({ ...call, ratePerSecond: 100, seconds: 0.01, connections: 1 });
}

/** Makes one call of a load on a connection; `onError` hears of a status other than OK. */
function callOnce(
  session: ClientHttp2Session,
  load: Pick<OpenLoop, 'path' | 'headers' | 'body'>,
  onError: (error: Error) => void,
  onDone: () => void,
): void {
  const stream = session.request({ ':method': 'POST', ':path': load.path, ...load.headers });
  const check = (headers: IncomingHttpHeaders) => {
    const status = headers['grpc-status'] ?? '0';
    if (status !== '0') onError(new Error(`gRPC status ${status}: ${headers['grpc-message']}`));
  };
  // A call that is refused has its status in its only headers.
  stream.on('response', check);
  stream.on('trailers', check);
  stream.on('error', onError);
  stream.on('end', onDone);
  stream.resume();
  stream.end(load.body);
}

/** The value that `share` of the ascending values do not exceed. */
export function quantile(ascending: Float64Array, share: number): number {
  return ascending[Math.min(ascending.length - 1, Math.floor(share * ascending.length))]!;
}
