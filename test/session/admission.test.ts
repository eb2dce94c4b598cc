import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { admitsPriority, refusalCause } from '../../src/session/admission.ts';
import type { Priority } from '../../src/session/session.ts';

const PRIORITIES: readonly Priority[] = ['LOW', 'NORMAL', 'HIGH', 'CRITICAL'];
const LIMITS = { sessionsMax: 200, sessionsPerOwnerMax: 20 };

describe('admission', () => {
  test.each([
    [1, ['LOW', 'NORMAL', 'HIGH', 'CRITICAL']],
    [2, ['LOW', 'NORMAL', 'HIGH', 'CRITICAL']],
    [3, ['NORMAL', 'HIGH', 'CRITICAL']],
    [4, ['HIGH', 'CRITICAL']],
    [5, ['CRITICAL']],
  ])('level %i admits %j', (level, admitted) => {
    expect(PRIORITIES.filter((priority) => admitsPriority(level, priority))).toEqual(admitted);
  });

  test.each([0, 6, -1, 1.5, Number.NaN])('%d is no level', (level) => {
    expect(() => admitsPriority(level, 'CRITICAL')).toThrow(RangeError);
  });

  test('the last free place is given, the one after it is not', () => {
    expect(refusalCause('LOW', { server: 199, owner: 0, level: 1 }, LIMITS)).toBeUndefined();
    expect(refusalCause('LOW', { server: 200, owner: 0, level: 1 }, LIMITS)).toBe('SERVER_LIMIT');
    expect(refusalCause('LOW', { server: 19, owner: 19, level: 1 }, LIMITS)).toBeUndefined();
    expect(refusalCause('LOW', { server: 20, owner: 20, level: 1 }, LIMITS)).toBe('OWNER_LIMIT');
  });

  test('causes are named in their order: server, owner, level', () => {
    expect(refusalCause('LOW', { server: 200, owner: 20, level: 5 }, LIMITS)).toBe('SERVER_LIMIT');
    expect(refusalCause('LOW', { server: 20, owner: 20, level: 5 }, LIMITS)).toBe('OWNER_LIMIT');
    expect(refusalCause('LOW', { server: 0, owner: 0, level: 5 }, LIMITS)).toBe('DEFENSE_LEVEL');
  });

  test('critical sessions are refused by limits only', () => {
    for (let level = 1; level <= 5; level++)
      expect(refusalCause('CRITICAL', { server: 0, owner: 0, level }, LIMITS)).toBeUndefined();
    expect(refusalCause('CRITICAL', { server: 200, owner: 0, level: 5 }, LIMITS)).toBe('SERVER_LIMIT');
  });

  test('what is admitted stays so with fewer sessions, a lower level and a higher priority', () => {
    const rank = fc.nat(PRIORITIES.length - 1);
    const occupancy = fc.record({
      server: fc.nat(300),
      owner: fc.nat(30),
      level: fc.integer({ min: 1, max: 5 }),
    });
    fc.assert(
      fc.property(rank, occupancy, rank, occupancy, (rankA, a, rankB, b) => {
        fc.pre(refusalCause(PRIORITIES[rankA]!, a, LIMITS) === undefined);
        const easier = {
          server: Math.min(a.server, b.server),
          owner: Math.min(a.owner, b.owner),
          level: Math.min(a.level, b.level),
        };
        expect(refusalCause(PRIORITIES[Math.max(rankA, rankB)]!, easier, LIMITS)).toBeUndefined();
      }),
    );
  });
});
