import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  allowedCommands,
  apply,
  cancel,
  expire,
  fold,
  nextState,
  type Session,
  type SessionEvent,
  type SessionState,
  textViolations,
} from '../../src/session/session.ts';

const START_BY_MS = 3_600_000;
const CREATED: SessionEvent = {
  kind: 'Created',
  atMs: 0,
  sessionId: '018f0000-0000-7000-8000-000000000001',
  owner: 'ada',
  about: { name: 'n', description: '', project: '', environment: '', tags: ['a'], priority: 'NORMAL' },
  nodeId: 'node-1',
  startByMs: START_BY_MS,
};

const CANCELLED: SessionEvent = { kind: 'Cancelled', atMs: 1, by: 'ada', reason: 'done' };
const EXPIRED: SessionEvent = { kind: 'Expired', atMs: START_BY_MS };

describe('the lifecycle of a session', () => {
  test('a new session is CREATED, version 1, until it must be started', () => {
    expect(apply(undefined, CREATED)).toEqual({
      sessionId: '018f0000-0000-7000-8000-000000000001',
      owner: 'ada',
      about: { name: 'n', description: '', project: '', environment: '', tags: ['a'], priority: 'NORMAL' },
      nodeId: 'node-1',
      state: 'CREATED',
      version: 1,
      createdAtMs: 0,
      updatedAtMs: 0,
      startByMs: START_BY_MS,
      endReason: '',
    });
  });

  test('an ended session keeps why it ended and has nothing left to wait for', () => {
    const created = apply(undefined, CREATED);
    const cancelled = {
      state: 'CANCELLED',
      version: 2,
      updatedAtMs: 1,
      startByMs: undefined,
      endReason: 'done',
    };
    expect(apply(created, CANCELLED)).toEqual({ ...created, ...cancelled });
    const expired = { state: 'EXPIRED', version: 2, updatedAtMs: START_BY_MS, startByMs: undefined };
    expect(apply(created, EXPIRED)).toEqual({ ...created, ...expired, endReason: 'not started in time' });
  });

  test('the table is the whole of what may happen', () => {
    const states: (SessionState | undefined)[] = [undefined, 'CREATED', 'CANCELLED', 'EXPIRED'];
    const triggers = ['Create', 'Cancel', 'Expire'] as const;
    const moves = states.flatMap((from) =>
      triggers.flatMap((trigger) => {
        const to = nextState(from, trigger);
        return to === undefined ? [] : [`${from ?? '-'} ${trigger} ${to}`];
      }),
    );
    expect(moves).toEqual(['- Create CREATED', 'CREATED Cancel CANCELLED', 'CREATED Expire EXPIRED']);
  });

  test('commands that a state allows are those a client may ask for', () => {
    expect(allowedCommands('CREATED')).toEqual(['Cancel']);
    expect(allowedCommands('CANCELLED')).toEqual([]);
    expect(allowedCommands('EXPIRED')).toEqual([]);
  });

  test('an ended session is not cancelled again', () => {
    for (const end of [CANCELLED, EXPIRED]) {
      const ended = fold([CREATED, end])!;
      expect(cancel(ended, 'ada', '', 5)).toEqual({ wrong: { state: ended.state, allowed: [] } });
    }
  });

  test('a session expires at its time, not a millisecond before', () => {
    const created = apply(undefined, CREATED);
    expect(expire(created, START_BY_MS - 1)).toBeUndefined();
    expect(expire(created, START_BY_MS)).toEqual({ kind: 'Expired', atMs: START_BY_MS });
    expect(expire(fold([CREATED, CANCELLED])!, START_BY_MS)).toBeUndefined();
    expect(expire(fold([CREATED, EXPIRED])!, START_BY_MS)).toBeUndefined();
  });

  test('a history that the table does not allow is damage', () => {
    expect(() => fold([CANCELLED])).toThrow('Cancelled after nothing');
    expect(() => fold([CREATED, CREATED])).toThrow('Created after CREATED');
    expect(() => fold([CREATED, CANCELLED, EXPIRED])).toThrow('Expired after CANCELLED');
    expect(fold([])).toBeUndefined();
  });

  test('whatever is tried in whatever order, a session behaves as the plain model does', () => {
    const step = fc.record({ what: fc.constantFrom('cancel', 'expire'), waitMs: fc.nat(START_BY_MS) });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 8 }), (steps) => {
        const history: SessionEvent[] = [CREATED];
        let session = apply(undefined, CREATED);
        let nowMs = 0;
        let ended: SessionState | undefined;
        for (const { what, waitMs } of steps) {
          nowMs += waitMs;
          const event = what === 'cancel' ? cancelled(session, nowMs) : expire(session, nowMs);
          const expected =
            ended === undefined && (what === 'cancel' || nowMs >= START_BY_MS)
              ? what === 'cancel'
                ? 'CANCELLED'
                : 'EXPIRED'
              : undefined;
          expect(event !== undefined).toBe(expected !== undefined);
          if (!event) continue;
          history.push(event);
          session = apply(session, event);
          ended = expected;
          expect(session.state).toBe(expected);
        }
        expect(session.version).toBe(history.length);
        expect(fold(history)).toEqual(session);
        expect(fold(JSON.parse(JSON.stringify(history)))).toEqual(session);
      }),
    );
  });
});

function cancelled(session: Session, nowMs: number): SessionEvent | undefined {
  const decision = cancel(session, 'ada', 'r', nowMs);
  return 'event' in decision ? decision.event : undefined;
}

describe('texts of a request', () => {
  test('may hold anything but control characters, and of those tab and line feed', () => {
    expect(textViolations({ name: 'Grüße, 世界 🌍\t\n<script>; drop table' })).toEqual([]);
    for (const code of [0, 1, 8, 11, 12, 13, 27, 31, 127, 128, 159]) {
      const violations = textViolations({ name: 'fine', tag: `a${String.fromCharCode(code)}b` });
      expect(violations.map((violation) => violation.field)).toEqual(['tag']);
    }
  });
});
