/**
 * Ends sessions that were not started in time. A batch is one transaction; a session that somebody else ended in the
 * meantime is left alone, so running it twice, or on two servers, does nothing more than running it once.
 */
import type { Clock } from '../clock.ts';
import type { Store } from '../store/store.ts';
import type { Placement, SessionBus } from './context.ts';
import { type Counters, commitChange } from './publish.ts';
import { expire } from './session.ts';
import { findSession, listOverdue } from './store.ts';

/** Sessions ended in one transaction: few enough not to hold up the commands beside it. */
const BATCH_SIZE = 100;

/** Ends every session that is overdue now. Resolves with their number. No transaction when there are none. */
export async function expireOverdue(deps: {
  readonly clock: Clock;
  readonly store: Store;
  readonly bus: SessionBus;
  readonly counters: Counters;
  readonly placement: Placement;
}): Promise<number> {
  const { clock, store, placement } = deps;
  const nowMs = clock.nowMs();
  let total = 0;
  for (;;) {
    const overdue = await listOverdue(store, nowMs, BATCH_SIZE);
    if (overdue.length === 0) return total;
    total += await store.transact(async (tx) => {
      let ended = 0;
      for (const sessionId of overdue) {
        const session = await findSession(tx, sessionId);
        const event = session && expire(session, nowMs);
        if (!event) continue;
        await commitChange(deps, tx, session, event);
        await placement.release(sessionId, tx);
        ended++;
      }
      return ended;
    });
  }
}
