import { expect, test } from '@jest/globals';
import { Priority } from '../../src/gen/homeostat/session/v1/session_service_pb.ts';
import { type WantedSession, wantedSessions } from '../../src/simulation/workload.ts';

function take(seed: number, count: number): WantedSession[] {
  const wanted: WantedSession[] = [];
  for (const session of wantedSessions({ seed, startMs: 1_000 })) {
    wanted.push(session);
    if (wanted.length === count) break;
  }
  return wanted;
}

test('the same seed asks for the same sessions, another for others', () => {
  expect(take(1, 100)).toEqual(take(1, 100));
  expect(take(2, 100)).not.toEqual(take(1, 100));
});

test('sessions arrive in order, at the mean rate, last the mean time, in the stated mix', () => {
  const wanted = take(3, 20_000);
  for (let i = 1; i < wanted.length; i++) expect(wanted[i]!.atMs).toBeGreaterThan(wanted[i - 1]!.atMs);
  // Means of 20,000 exponentials: a standard error of 0.7 %, so 4 % is beyond five of them.
  expect((wanted.at(-1)!.atMs - 1_000) / wanted.length / 15_000).toBeCloseTo(1, 1);
  const meanMs = wanted.reduce((sum, { durationMs }) => sum + durationMs, 0) / wanted.length;
  expect(Math.abs(meanMs / 90_000 - 1)).toBeLessThan(0.04);
  const share = (priority: Priority) =>
    wanted.filter((session) => session.priority === priority).length / wanted.length;
  expect(share(Priority.LOW)).toBeCloseTo(0.3, 1);
  expect(share(Priority.CRITICAL)).toBeCloseTo(0.1, 1);
});
