import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { type SummedCall, Sums } from '../../../src/identity/audit/sums.ts';

const LIMITS = { sumsMax: 10_000, sumEntriesMax: 1_000 };

const callOf = (changed: Partial<SummedCall> = {}): SummedCall => ({
  principal: 'ada',
  method: 'a.v1.A/Read',
  code: 'PERMISSION_DENIED',
  reason: 'NO_PERMISSION',
  peer: '192.0.2.1',
  ...changed,
});

const total = (sums: readonly { readonly count: number }[]) =>
  sums.reduce((sum, { count }) => sum + count, 0);

describe('sums of calls', () => {
  test('are one per caller, method, code and reason', () => {
    const sums = new Sums(LIMITS);
    const kinds = [
      callOf(),
      callOf({ principal: 'bob' }),
      callOf({ method: 'a.v1.A/Write' }),
      callOf({ code: 'UNAVAILABLE' }),
      callOf({ reason: 'DRAINING' }),
    ];
    for (const [i, call] of kinds.entries()) for (let n = 0; n <= i; n++) sums.add(call);
    expect(sums.take()).toEqual(kinds.map((call, i) => ({ ...call, count: i + 1 })));
    expect(sums.take()).toEqual([]);
  });

  test('know a stranger by its address, and keep the address of a principal while it has one', () => {
    const sums = new Sums(LIMITS);
    sums.add(callOf({ principal: '', peer: '192.0.2.1' }));
    sums.add(callOf({ principal: '', peer: '192.0.2.2' }));
    sums.add(callOf({ peer: '192.0.2.1' }));
    sums.add(callOf({ principal: 'bob', peer: '192.0.2.1' }));
    sums.add(callOf({ principal: 'bob', peer: '192.0.2.2' }));
    expect(sums.take().map(({ principal, peer, count }) => [principal, peer, count])).toEqual([
      ['', '192.0.2.1', 1],
      ['', '192.0.2.2', 1],
      ['ada', '192.0.2.1', 1],
      ['bob', '', 2],
    ]);
  });

  test('a flood of addresses takes bounded room, and principals still find theirs', () => {
    const sums = new Sums(LIMITS);
    for (let i = 0; i < 1_000_000; i++) sums.add(callOf({ principal: '', peer: `peer-${i}` }));
    expect(sums.size).toBeLessThanOrEqual(LIMITS.sumsMax / 2 + 1);
    sums.add(callOf({ principal: 'ada' }));
    const taken = sums.take();
    expect(taken.length).toBeLessThanOrEqual(LIMITS.sumEntriesMax);
    expect(total(taken)).toBe(1_000_001);
    expect(taken).toContainEqual({ ...callOf(), count: 1 });
    expect(taken.at(-1)).toMatchObject({
      principal: '*',
      method: '*',
      reason: '*',
      peer: '*',
      code: 'PERMISSION_DENIED',
    });
  });

  test('merge the smallest when too many would be written', () => {
    const sums = new Sums({ sumsMax: 1_000, sumEntriesMax: 100 });
    for (let i = 0; i < 200; i++) sums.add(callOf({ principal: '', peer: `peer-${i}` }), 1_000 + i);
    for (let i = 0; i < 10; i++) sums.add(callOf({ principal: `user-${i}` }));
    const taken = sums.take();
    const names = taken.map(({ principal, peer }) => principal || peer);
    expect(names).toEqual([
      ...Array.from({ length: 73 }, (_, i) => `peer-${127 + i}`),
      ...Array.from({ length: 10 }, (_, i) => `user-${i}`),
      '*',
    ]);
    expect(taken.at(-1)!.count).toBe(
      Array.from({ length: 127 }, (_, i) => 1_000 + i).reduce((a, b) => a + b),
    );
  });

  test('put back count again, those by code alone too', () => {
    const sums = new Sums({ sumsMax: 2, sumEntriesMax: 100 });
    for (let i = 0; i < 5; i++) sums.add(callOf({ principal: `user-${i}` }));
    const taken = sums.take();
    for (const sum of taken) sums.add(sum, sum.count);
    expect(sums.take()).toEqual(taken);
    expect(taken).toHaveLength(3);
  });

  test('lose no call, and hold and give no more than their limits', () => {
    const calls = fc.record({
      principal: fc.constantFrom('', 'ada', 'bob', 'eve'),
      method: fc.constantFrom('A', 'B'),
      code: fc.constantFrom('OK', 'UNAVAILABLE', 'UNAUTHENTICATED'),
      reason: fc.constantFrom('', 'R'),
      peer: fc.nat({ max: 300 }).map(String),
    });
    fc.assert(
      fc.property(fc.array(fc.array(calls, { maxLength: 400 }), { maxLength: 4 }), (minutes) => {
        const sums = new Sums({ sumsMax: 150, sumEntriesMax: 100 });
        for (const minute of minutes) {
          for (const call of minute) sums.add(call);
          expect(sums.size).toBeLessThanOrEqual(150 + 17);
          const taken = sums.take();
          expect(taken.length).toBeLessThanOrEqual(100);
          expect(total(taken)).toBe(minute.length);
        }
      }),
    );
  });
});
