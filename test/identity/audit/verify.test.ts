import { create } from '@bufbuild/protobuf';
import { describe, expect, test } from '@jest/globals';
import {
  AuditEntrySchema,
  type ExportAuditResponse,
  ExportAuditResponseSchema,
} from '../../../src/gen/homeostat/identity/v1/audit_service_pb.ts';
import { anchorPayload } from '../../../src/identity/audit/anchor.ts';
import { entryFromProto, entryToProto } from '../../../src/identity/audit/contract.ts';
import { type Entry, type Link, link } from '../../../src/identity/audit/entry.ts';
import { verifyExport } from '../../../src/identity/audit/verify.ts';
import { recordOf } from './audit-world.ts';

/** Entries 41 to 43: exports seldom begin with the first. */
function entriesOf(): Entry[] {
  let previous: Link = { sequence: 40, hash: new Uint8Array(32).fill(9) };
  return [1, 2, 3].map((count) => {
    const entry = link(previous, { ...recordOf(), occurredAtMs: 1_767_225_600_123, count });
    previous = entry;
    return entry;
  });
}

const entryItem = (entry: Entry): ExportAuditResponse =>
  create(ExportAuditResponseSchema, { item: { case: 'entry', value: entryToProto(entry) } });
const anchorItem = ({ sequence, hash }: Link, payload = anchorPayload({ sequence, hash })) =>
  create(ExportAuditResponseSchema, {
    item: { case: 'anchor', value: { sequence: BigInt(sequence), hash, entry: { payload } } },
  });
const outcomes = (items: readonly ExportAuditResponse[]) =>
  verifyExport(items).findings.map(({ check, outcome }) => `${check} ${outcome}`);

describe('an export, verified offline', () => {
  test('is a chain with the anchor of its last entry', () => {
    const entries = entriesOf();
    const verdict = verifyExport([...entries.map(entryItem), anchorItem(entries[2]!)]);
    expect(verdict.findings).toEqual([
      { check: 'chain', outcome: 'ok', detail: 'entries 41 to 43 link, and each has its hash' },
      { check: 'anchor', outcome: 'ok', detail: expect.stringContaining('entry 43') },
    ]);
    expect(verdict.anchor?.sequence).toBe(43n);
  });

  test('names the first entry that does not fit', () => {
    const [first, second, third] = entriesOf();
    const forged = { ...second!, principal: 'eve' };
    const [finding] = verifyExport([first!, forged, third!].map(entryItem)).findings;
    expect(finding).toEqual({
      check: 'chain',
      outcome: 'failed',
      detail: 'entry 42: its content does not have its hash',
    });
  });

  test('is not proven by an anchor of another entry, or by one whose payload says something else', () => {
    const entries = entriesOf();
    const items = entries.map(entryItem);
    expect(outcomes([...items, anchorItem(entries[1]!)])).toEqual(['chain ok', 'anchor failed']);
    expect(outcomes([...items, anchorItem({ ...entries[2]!, hash: new Uint8Array(32) })])).toEqual([
      'chain ok',
      'anchor failed',
    ]);
    const payload = anchorPayload(entries[1]!);
    expect(outcomes([...items, anchorItem(entries[2]!, payload)])).toEqual(['chain ok', 'anchor failed']);
  });

  test('says what is absent', () => {
    const entries = entriesOf();
    expect(outcomes(entries.map(entryItem))).toEqual(['chain ok', 'anchor absent']);
    expect(outcomes([])).toEqual(['chain absent', 'anchor absent']);
    expect(outcomes([anchorItem(entries[0]!)])).toEqual(['chain absent', 'anchor failed']);
  });

  test('has entries first and one anchor behind them', () => {
    const entries = entriesOf();
    const items = entries.map(entryItem);
    const anchor = anchorItem(entries[2]!);
    for (const wrong of [
      [anchor, ...items],
      [...items, anchor, anchor],
      [...items, create(ExportAuditResponseSchema)],
    ])
      expect(outcomes(wrong)).toEqual(['chain failed']);
  });

  test('an entry comes back from its message as it was, and one that would be rounded does not', () => {
    const [entry] = entriesOf();
    const message = create(AuditEntrySchema, entryToProto(entry!));
    expect(entryFromProto(message)).toEqual(entry);
    const { seconds, nanos } = message.occurredAt!;
    const rounded = [
      { ...message, occurredAt: { ...message.occurredAt!, seconds, nanos: nanos + 1 } },
      { ...message, occurredAt: undefined },
      { ...message, sequence: 2n ** 53n },
      { ...message, count: 2n ** 64n - 1n },
    ];
    for (const one of rounded) {
      expect(entryFromProto(one)).toBeUndefined();
      const item = create(ExportAuditResponseSchema, { item: { case: 'entry', value: one } });
      expect(outcomes([item])[0]).toBe('chain failed');
    }
  });
});
