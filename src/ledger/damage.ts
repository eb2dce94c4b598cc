/**
 * What is known to be damaged. Whoever meets damage reports it here and refuses what it was doing; from then on nothing
 * is appended, while whatever verifies is still read. The range is the smallest that covers every finding. Findings are
 * committed later, since the transaction that met them is rolled back; then every server of the database knows. Only a
 * scrub that finds nothing lifts the damage.
 */
import type { AppError } from '../errors.ts';
import { ledgerError } from './errors.ts';

/** Entries `start` up to (but without) `end` do not agree with what was published, and why. */
export interface Finding {
  readonly start: number;
  readonly end: number;
  readonly detail: string;
}

/** How long to wait before an append to a damaged log is worth another try, ms. */
const READ_ONLY_RETRY_MS = 60_000;

export interface Damage {
  /** Takes a finding in and gives the LEDGER_DAMAGED to throw. */
  found(finding: Finding): AppError;
  /** The whole range that is known; undefined while the log is whole. */
  range(): Finding | undefined;
  /** Findings not yet committed. */
  pending(): readonly Finding[];
  /** Takes over what is committed, and that these findings are. */
  adopt(committed: Finding | undefined, saved: readonly Finding[]): void;
  /** Throws LEDGER_READ_ONLY while there is damage. */
  refuseAppends(): void;
}

/** Nothing is known at first. */
export function createDamage(): Damage {
  let stored: Finding | undefined;
  let pending: readonly Finding[] = [];
  const range = () => hull(stored ? [stored, ...pending] : pending);
  return {
    found(finding) {
      const { start, end } = finding;
      const known = range();
      if (known === undefined || start < known.start || end > known.end) pending = [...pending, finding];
      return ledgerError('LEDGER_DAMAGED', { start, end });
    },
    range,
    pending: () => pending,
    adopt(committed, saved) {
      stored = committed;
      pending = pending.filter((finding) => !saved.includes(finding));
    },
    refuseAppends() {
      const known = range();
      if (known === undefined) return;
      const { start, end } = known;
      throw ledgerError('LEDGER_READ_ONLY', { start, end }, { retryAfterMs: READ_ONLY_RETRY_MS });
    },
  };
}

/** The smallest range over all findings, with the detail of the first; undefined for none. */
export function hull(findings: readonly Finding[]): Finding | undefined {
  const [first] = findings;
  if (first === undefined) return undefined;
  return {
    start: Math.min(...findings.map(({ start }) => start)),
    end: Math.max(...findings.map(({ end }) => end)),
    detail: first.detail,
  };
}
