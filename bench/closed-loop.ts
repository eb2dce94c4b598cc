/**
 * Closed-loop load on a unary gRPC method: each client has a connection of its own and makes its next call when the one
 * before is answered. Replies are read, not decoded.
 */
import { connect } from 'node:http2';
import { callOnce } from './open-loop.ts';

export interface ClosedLoop {
  readonly address: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
  readonly clients: number;
  readonly seconds: number;
}

export interface ClosedLoopResult {
  /** Milliseconds, ascending; calls begun in the first tenth of the time do not count. */
  readonly latencies: Float64Array;
  /** Connections the server had ended, in whose place others were opened. */
  readonly reconnections: number;
}

/** How long calls took that follow each other on each connection. Rejects when a call fails. */
export async function runClosedLoop(load: ClosedLoop): Promise<ClosedLoopResult> {
  const open = () => {
    const session = connect(`http://${load.address}`);
    // What goes wrong under a call, the call tells; a reset while both ends close a connection goes wrong under none.
    session.on('error', () => {});
    return session;
  };
  const sessions = Array.from({ length: load.clients }, open);
  let hasFailed = false;
  try {
    const startMs = performance.now();
    const warmMs = startMs + load.seconds * 100;
    const endMs = startMs + load.seconds * 1000;
    const latencies: number[] = [];
    let reconnections = 0;
    await Promise.all(
      sessions.map(
        (_, client) =>
          new Promise<void>((resolve, reject) => {
            const next = () => {
              const begunMs = performance.now();
              if (begunMs >= endMs || hasFailed) return resolve();
              // A server may end a connection in order; its client then opens another.
              if (sessions[client]!.closed || sessions[client]!.destroyed) {
                sessions[client] = open();
                reconnections++;
              }
              const session = sessions[client]!;
              callOnce(session, load, reject, () => {
                if (begunMs >= warmMs) latencies.push(performance.now() - begunMs);
                next();
              });
            };
            next();
          }),
      ),
    );
    return { latencies: Float64Array.from(latencies).sort(), reconnections };
  } catch (error) {
    hasFailed = true;
    throw error;
  } finally {
    for (const session of sessions) session.destroy();
  }
}
