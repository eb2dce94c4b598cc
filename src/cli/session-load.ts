/**
 * Asks a server for the sessions of a simulated workload as their time comes, and ends them when they have lasted.
 * Calls are made one after the other; a server that is slow simply gets asked later.
 */
import { type Clients, RpcError } from '../client/client.ts';
import { Priority, PrioritySchema } from '../gen/homeostat/session/v1/session_service_pb.ts';
import type { WantedSession } from '../simulation/workload.ts';

export interface SessionCounts {
  created: number;
  /** Refused by admission, all causes. */
  refused: number;
  /** Refusals by the level of defense they name. */
  refusedByLevel: Record<string, number>;
  ended: number;
}

export interface SessionLoad {
  readonly counts: Readonly<SessionCounts>;
  /** Sessions held now. */
  readonly live: number;
  /** Asks for everything wanted until an event time, and ends what has lasted. Rejects when a call fails otherwise. */
  advance(eventMs: number): Promise<void>;
}

/** Below the least limit an owner has by default (20): the workload shows the level of defense, not that limit. */
const LIVE_MAX = 16;

export function createSessionLoad(options: {
  readonly clients: Clients;
  readonly wanted: Iterator<WantedSession>;
  /** Makes the keys of this run's commands unlike those of another. */
  readonly run: string;
  /** Told of every answer, for people. */
  readonly onAnswer: (text: string) => void;
}): SessionLoad {
  const { clients, wanted, run, onAnswer } = options;
  const counts: SessionCounts = { created: 0, refused: 0, refusedByLevel: {}, ended: 0 };
  let live: { readonly sessionId: string; readonly endMs: number }[] = [];
  let next = wanted.next();

  const end = async (sessionId: string) => {
    await clients.session.cancelSession({
      sessionId,
      idempotencyKey: `${run}-end-${sessionId.slice(-12)}`,
      reason: 'done',
    });
    counts.ended++;
  };
  const endUntil = async (eventMs: number) => {
    const due = live.filter(({ endMs }) => endMs <= eventMs);
    live = live.filter(({ endMs }) => endMs > eventMs);
    for (const { sessionId } of due) await end(sessionId);
  };
  const ask = async ({ number, atMs, durationMs, name, priority }: WantedSession) => {
    if (live.length >= LIVE_MAX) await end(live.shift()!.sessionId);
    const word = PrioritySchema.value[priority]?.localName ?? Priority.NORMAL;
    try {
      const { session } = await clients.session.createSession({
        idempotencyKey: `${run}-${number}`,
        name,
        metadata: { project: 'demo', priority },
      });
      counts.created++;
      live.push({ sessionId: session!.sessionId, endMs: atMs + durationMs });
      onAnswer(`session ${name} (${word}) admitted`);
    } catch (error) {
      if (!(error instanceof RpcError) || error.reason !== 'ADMISSION_REFUSED') throw error;
      const { cause = '', level = '' } = error.metadata;
      counts.refused++;
      counts.refusedByLevel[level] = (counts.refusedByLevel[level] ?? 0) + 1;
      onAnswer(`session ${name} (${word}) refused: ${cause}, level ${level}`);
    }
  };
  return {
    counts,
    get live() {
      return live.length;
    },
    async advance(eventMs) {
      while (!next.done && next.value.atMs <= eventMs) {
        const session = next.value;
        next = wanted.next();
        await endUntil(session.atMs);
        await ask(session);
      }
      await endUntil(eventMs);
    },
  };
}
