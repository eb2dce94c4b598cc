/**
 * The whole context against a model of a few lines: whatever is created, cancelled, waited for, restarted and whatever
 * level holds, in any order, both say the same; and afterwards every row is the fold of its events.
 */
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { sessionMigrations } from '../../src/session/context.ts';
import { priorityToProto, stateToProto } from '../../src/session/contract.ts';
import { fold, type Priority, type SessionState } from '../../src/session/session.ts';
import { findSession, listEvents } from '../../src/session/store.ts';
import type { Store } from '../../src/store/store.ts';
import { createFakeClock } from '../support/fake-clock.ts';
import { openTestStore } from '../support/stores.ts';
import { createSessionWorld, levelEvent, type SessionWorld } from './session-world.ts';

const CONFIG = { sessionsMax: 6, sessionsPerOwnerMax: 3, startWithinMs: 60_000 };
const RANK: Readonly<Record<Priority, number>> = { LOW: 2, NORMAL: 3, HIGH: 4, CRITICAL: 5 };
const OWNERS = ['ada', 'bob', 'eve'] as const;

interface ModelSession {
  readonly owner: string;
  readonly startByMs: number;
  state: SessionState;
  sessionId: string;
}

/** What the context is held against, beside the context itself. */
interface Run {
  readonly store: Store;
  readonly clock: ReturnType<typeof createFakeClock>;
  readonly sessions: ModelSession[];
  world: SessionWorld;
  level: number;
  sequence: number;
  keys: number;
}

const held = (run: Run) => run.sessions.filter((session) => session.state === 'CREATED');

/** The rule in words: first the limits, then the level, which refuses every priority that ranks below it. */
function expectedCause(run: Run, owner: string, priority: Priority): string | undefined {
  if (held(run).length >= CONFIG.sessionsMax) return 'SERVER_LIMIT';
  if (held(run).filter((session) => session.owner === owner).length >= CONFIG.sessionsPerOwnerMax)
    return 'OWNER_LIMIT';
  return run.level > 2 && RANK[priority] < run.level ? 'DEFENSE_LEVEL' : undefined;
}

async function reasonOf(work: Promise<unknown>): Promise<unknown> {
  try {
    await work;
    return undefined;
  } catch (error) {
    const { reason, metadata } = error as { reason: string; metadata: object };
    return { reason, ...metadata };
  }
}

type Step = (run: Run) => Promise<void>;

const createStep = fc
  .record({
    owner: fc.constantFrom(...OWNERS),
    priority: fc.constantFrom(...(Object.keys(RANK) as Priority[])),
  })
  .map(
    ({ owner, priority }): Step =>
      async (run) => {
        const metadata = { priority: priorityToProto[priority] };
        const request = { idempotencyKey: `key-${run.keys++}`, name: 'n', metadata };
        const cause = expectedCause(run, owner, priority);
        const reply = run.world.as(owner).create(request);
        const reason = await reasonOf(reply);
        if (cause !== undefined) {
          expect(reason).toEqual({ reason: 'ADMISSION_REFUSED', cause, level: String(run.level) });
          return;
        }
        const { sessionId } = await reply;
        const startByMs = run.clock.nowMs() + CONFIG.startWithinMs;
        run.sessions.push({ owner, startByMs, state: 'CREATED', sessionId });
        expect(await run.world.as(owner).create(request)).toMatchObject({ sessionId });
      },
  );

const cancelStep = fc.record({ which: fc.nat(11), by: fc.constantFrom(...OWNERS) }).map(
  ({ which, by }): Step =>
    async (run) => {
      const session = run.sessions[which];
      if (!session) return;
      const reason = await reasonOf(run.world.as(by).cancel({ sessionId: session.sessionId }));
      if (by !== session.owner) expect(reason).toEqual({ reason: 'NOT_OWNER' });
      else if (session.state !== 'CREATED')
        expect(reason).toEqual({ reason: 'WRONG_STATE', state: session.state, allowed: '' });
      else {
        expect(reason).toBeUndefined();
        session.state = 'CANCELLED';
      }
    },
);

const levelStep = fc.integer({ min: 1, max: 5 }).map(
  (level): Step =>
    async (run) => {
      const sequence = ++run.sequence;
      await run.world.deliver(levelEvent(level, { sequence, recordedAtMs: sequence }));
      run.level = level;
    },
);

/** A restart takes its time: ids of one millisecond sort only within one process. */
const restartStep = fc.integer({ min: 1, max: 90_000 }).map(
  (downMs): Step =>
    async (run) => {
      await run.world.started.stop();
      await run.clock.advance(downMs);
      run.world = createSessionWorld({ store: run.store, clock: run.clock, config: CONFIG });
      await run.world.started.start();
      for (const session of held(run)) if (session.startByMs <= run.clock.nowMs()) session.state = 'EXPIRED';
    },
);

const steps = fc.array(
  fc.oneof(
    { weight: 5, arbitrary: createStep },
    { weight: 2, arbitrary: cancelStep },
    levelStep,
    restartStep,
  ),
  { minLength: 5, maxLength: 25 },
);

async function play(chosen: readonly Step[]): Promise<void> {
  const clock = createFakeClock();
  const { store, dispose } = await openTestStore(sessionMigrations);
  try {
    const world = createSessionWorld({ store, clock, config: CONFIG });
    await world.started.start();
    const run: Run = { store, clock, sessions: [], world, level: 1, sequence: 0, keys: 0 };
    for (const step of chosen) await step(run);
    const listed = (await run.world.as('ada').list()).sessions;
    expect(listed.map(({ sessionId, state }) => ({ sessionId, state }))).toEqual(
      run.sessions.map(({ sessionId, state }) => ({ sessionId, state: stateToProto[state] })).reverse(),
    );
    for (const { sessionId } of run.sessions)
      expect(fold(await listEvents(store, sessionId))).toEqual(await findSession(store, sessionId));
    await run.world.started.stop();
  } finally {
    await dispose();
  }
}

test('the context behaves as its model, and every row is the fold of its events', async () => {
  await fc.assert(fc.asyncProperty(steps, play), { numRuns: 40 });
});
