/**
 * Looks for entries by time. Entries lie in the order they were committed, and their times may differ from it a little:
 * sums bear the end of their minute, and clocks of servers differ. So searches follow the index of times, in parts
 * between which the event loop turns, and what they cost does not depend on how long the chain is.
 */
import { type AuditTables, entryOf, findStub, type Reader } from './audit-store.ts';
import type { Entry } from './entry.ts';

/** Entries looked at between two turns of the event loop. */
const PART = 4_096;

/** A half-open span of wall milliseconds. */
export interface TimeSpan {
  readonly fromMs: number;
  readonly beforeMs: number;
}

export interface EntryFilter extends TimeSpan {
  /** Undefined: anybody's. */
  readonly principal: string | undefined;
  /** Empty: any. */
  readonly method: string;
  /** Empty: any. */
  readonly code: string;
}

/** A place in the order of times: when an entry occurred, and its sequence. */
export type Place = readonly [occurredAtMs: number, sequence: number];

export interface Budget {
  readonly limit: number;
  /** Entries looked at before giving up; a few more may be. */
  readonly lookedAtMax: number;
  readonly signal: AbortSignal;
}

/**
 * Entries that match, newest first, from before a place on. `next` is where to go on; undefined at the end. There may
 * be fewer than `limit` before the end, or none, when too many were looked at.
 */
export async function listNewest(
  reader: Reader,
  filter: EntryFilter,
  before: Place | undefined,
  budget: Budget,
): Promise<{ readonly entries: readonly Entry[]; readonly next: Place | undefined }> {
  const stub = (await findStub(reader)).sequence;
  const entries: Entry[] = [];
  let place = before;
  for (let looked = 0; looked < budget.lookedAtMax && !budget.signal.aborted; looked += PART) {
    const part = within(reader, filter, stub)
      .$if(place !== undefined, (query) =>
        query.where((row) => row(row.refTuple('occurred_at_ms', 'sequence'), '<', row.tuple(...place!))),
      )
      .orderBy('occurred_at_ms', 'desc')
      .orderBy('sequence', 'desc');
    const last = await part
      .select(['occurred_at_ms', 'sequence'])
      .offset(PART - 1)
      .limit(1)
      .executeTakeFirst();
    const wanted = budget.limit - entries.length;
    const rows = await part
      .selectAll()
      .$if(last !== undefined, (query) =>
        query.where((row) =>
          row(row.refTuple('occurred_at_ms', 'sequence'), '>=', row.tuple(...placeOf(last!))),
        ),
      )
      .$if(filter.principal !== undefined, (query) => query.where('principal', '=', filter.principal!))
      .$if(filter.method !== '', (query) => query.where('method', '=', filter.method))
      .$if(filter.code !== '', (query) => query.where('code', '=', filter.code))
      .limit(wanted + 1)
      .execute();
    entries.push(...rows.slice(0, wanted).map(entryOf));
    if (rows.length > wanted) return { entries, next: placeOf(rows[wanted - 1]!) };
    if (last === undefined) return { entries, next: undefined };
    place = placeOf(last);
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
  return { entries, next: place };
}

/**
 * First and last sequence of the entries of a span of time; undefined for none, and where the signal aborts. Cost: a
 * pass over the index of the span.
 */
export async function findSpan(
  reader: Reader,
  span: TimeSpan,
  signal: AbortSignal,
): Promise<{ readonly first: number; readonly last: number } | undefined> {
  const stub = (await findStub(reader)).sequence;
  let found: { first: number; last: number } | undefined;
  let place: Place | undefined;
  while (!signal.aborted) {
    const part = within(reader, span, stub).$if(place !== undefined, (query) =>
      query.where((row) => row(row.refTuple('occurred_at_ms', 'sequence'), '>', row.tuple(...place!))),
    );
    const last = await part
      .select(['occurred_at_ms', 'sequence'])
      .orderBy('occurred_at_ms')
      .orderBy('sequence')
      .offset(PART - 1)
      .limit(1)
      .executeTakeFirst();
    const ends = await part
      .$if(last !== undefined, (query) =>
        query.where((row) =>
          row(row.refTuple('occurred_at_ms', 'sequence'), '<=', row.tuple(...placeOf(last!))),
        ),
      )
      .select((row) => [row.fn.min('sequence').as('first'), row.fn.max('sequence').as('last')])
      .executeTakeFirstOrThrow();
    if (ends.first !== null && ends.last !== null)
      found = {
        first: Math.min(found?.first ?? ends.first, ends.first),
        last: Math.max(found?.last ?? ends.last, ends.last),
      };
    if (last === undefined) return found;
    place = placeOf(last);
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
  return undefined;
}

/** Kept entries of a span of time. */
function within(reader: Reader, { fromMs, beforeMs }: TimeSpan, stub: number) {
  return reader
    .query<AuditTables>()
    .selectFrom('identity_audit')
    .where('sequence', '>', stub)
    .where('occurred_at_ms', '>=', fromMs)
    .where('occurred_at_ms', '<', beforeMs);
}

function placeOf(row: { readonly occurred_at_ms: number; readonly sequence: number }): Place {
  return [row.occurred_at_ms, row.sequence];
}
