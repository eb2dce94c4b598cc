import { createHash } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { type ReplayReport, reportDigest, withDigest } from '../../src/cli/report.ts';
import { type Account, difference, isBalanced } from '../../src/cli/stream-account.ts';

const account: Account = {
  offered: 10,
  accepted: 6,
  duplicate: 1,
  late: 2,
  rejected: 1,
  rejectedByReason: { NOT_FINITE: 1 },
};

function report(changes: Partial<Omit<ReplayReport, 'digest'>> = {}): Omit<ReplayReport, 'digest'> {
  return {
    stream: { domain: 'replay', cluster: 'c' },
    telemetry: account,
    messages: account,
    gaps: { open: 0, missing: 0, closed: 0 },
    recording: {
      rows: 9,
      samples: 9,
      emptyValues: 0,
      unparsableRows: 0,
      unparsableLines: [],
      stepsBack: 0,
      repeatedTimestamps: 0,
      gaps: 0,
    },
    windows: 3,
    maps: { count: 3, nodesMapped: 2, nodesObserved: 1, sha256: 'ab' },
    levelChanges: [{ from: 1, to: 2, at: '2026-01-01T00:00:00.000Z', cause: 'utilization' }],
    ...changes,
  };
}

describe('the digest of a report', () => {
  test('is SHA-256 of its canonical JSON without digest, offered and duplicate', () => {
    const text =
      '{"gaps":{"closed":0,"missing":0,"open":0},' +
      '"levelChanges":[{"at":"2026-01-01T00:00:00.000Z","cause":"utilization","from":1,"to":2}],' +
      '"maps":{"count":3,"nodesMapped":2,"nodesObserved":1,"sha256":"ab"},' +
      '"messages":{"accepted":6,"late":2,"rejected":1,"rejectedByReason":{"NOT_FINITE":1}},' +
      '"recording":{"emptyValues":0,"gaps":0,"repeatedTimestamps":0,"rows":9,"samples":9,"stepsBack":0,' +
      '"unparsableLines":[],"unparsableRows":0},"stream":{"cluster":"c","domain":"replay"},' +
      '"telemetry":{"accepted":6,"late":2,"rejected":1,"rejectedByReason":{"NOT_FINITE":1}},"windows":3}';
    expect(withDigest(report()).digest).toBe(createHash('sha256').update(text).digest('hex'));
  });

  test('does not change when messages were sent again, and does when anything else differs', () => {
    const digest = reportDigest(report());
    const resent = { ...account, offered: 15, duplicate: 6 };
    expect(reportDigest(report({ telemetry: resent, messages: resent }))).toBe(digest);
    expect(reportDigest(withDigest(report()))).toBe(digest);
    expect(reportDigest(report({ telemetry: { ...account, late: 1 } }))).not.toBe(digest);
    expect(reportDigest(report({ maps: { ...report().maps, sha256: 'cd' } }))).not.toBe(digest);
    expect(reportDigest(report({ levelChanges: [] }))).not.toBe(digest);
  });
});

test('an account is balanced when everything offered is accounted for, and differences of balanced ones are', () => {
  expect(isBalanced(account)).toBe(true);
  expect(isBalanced({ ...account, late: 3 })).toBe(false);
  const reasons = ['MALFORMED', 'NOT_FINITE', 'SERIES_LIMIT'] as const;
  const accounts = fc.array(fc.nat(1e6), { minLength: 6, maxLength: 6 }).map((counts): Account => {
    const [accepted, duplicate, late, ...byReason] = counts as [number, number, number, ...number[]];
    const rejected = byReason.reduce((sum, count) => sum + count, 0);
    return {
      offered: accepted + duplicate + late + rejected,
      accepted,
      duplicate,
      late,
      rejected,
      rejectedByReason: Object.fromEntries(
        reasons.map((reason, i) => [reason, byReason[i]!] as const).filter(([, count]) => count > 0),
      ),
    };
  });
  const sum = (a: Account, b: Account): Account => ({
    offered: a.offered + b.offered,
    accepted: a.accepted + b.accepted,
    duplicate: a.duplicate + b.duplicate,
    late: a.late + b.late,
    rejected: a.rejected + b.rejected,
    rejectedByReason: Object.fromEntries(
      reasons
        .map(
          (reason) =>
            [reason, (a.rejectedByReason[reason] ?? 0) + (b.rejectedByReason[reason] ?? 0)] as const,
        )
        .filter(([, count]) => count > 0),
    ),
  });
  fc.assert(
    fc.property(accounts, accounts, (before, added) => {
      const between = difference(sum(before, added), before);
      expect(between).toEqual(added);
      expect(isBalanced(between)).toBe(true);
    }),
  );
});
