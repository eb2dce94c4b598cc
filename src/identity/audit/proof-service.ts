/**
 * Reads the chain and proves it: entries link, hashes recompute, anchors say what the ledger says. The first entry that
 * does not fit is named by CHAIN_BROKEN. Works on pages between which the event loop turns, so memory and pauses are
 * bounded; entries that are added or removed for their age meanwhile do no harm.
 */
import { type Clock, delay } from '../../clock.ts';
import type { AppError } from '../../errors.ts';
import { identityError } from '../errors.ts';
import { type Anchor, anchorPayload } from './anchor.ts';
import { findEntry, findExtent, findStub, listAnchors, listEntries, type Reader } from './audit-store.ts';
import { type Entry, type Link, linkFault, sameBytes } from './entry.ts';
import type { Ledger, ProvenEntry } from './sweep.ts';

export interface ProofDeps {
  readonly store: Reader;
  readonly clock: Clock;
  readonly ledger: Pick<Ledger, 'prove'>;
  /** How long a new anchor may take until it can be proven, ms; default 10,000. */
  readonly proofWaitMs: number;
}

/** Entries read and hashed between two turns of the event loop: about 2 ms. */
const PAGE = 256;

/** How often an anchor that cannot be proven yet is looked at again. */
const PROOF_LOOK_MS = 100;

export function chainBroken(sequence: number, detail: string): AppError {
  return identityError('CHAIN_BROKEN', { sequence, detail });
}

/**
 * Entries from one sequence to another, both included, page by page, each page verified. Ends early where the signal
 * aborts. Entries removed for their age while it runs are left out: a page may begin later than the one before ended.
 * Throws CHAIN_BROKEN.
 */
export async function* walkChain(
  store: Reader,
  span: { readonly from: number; readonly to: number },
  signal: AbortSignal,
): AsyncGenerator<readonly Entry[]> {
  let last = await linkBefore(store, span.from);
  while (last.sequence < span.to && !signal.aborted) {
    const entries = await listEntries(store, { after: last.sequence, last: span.to, limit: PAGE });
    if (entries[0]?.sequence !== last.sequence + 1) {
      const stub = await findStub(store);
      if (stub.sequence <= last.sequence) throw chainBroken(last.sequence + 1, 'it is missing');
      last = stub;
      continue;
    }
    for (const entry of entries) {
      const fault = linkFault(last, entry);
      if (fault !== undefined) throw chainBroken(last.sequence + 1, fault);
      last = entry;
    }
    yield entries;
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
}

/** What the entry of a sequence has to follow from. */
async function linkBefore(store: Reader, sequence: number): Promise<Link> {
  const before = await findEntry(store, sequence - 1);
  const stub = await findStub(store);
  if (sequence - 1 <= stub.sequence) return stub;
  if (before === undefined) throw chainBroken(sequence - 1, 'it is missing');
  return before;
}

/** How far a verification has come. */
export interface Progress {
  readonly checked: number;
  readonly anchors: number;
}

/**
 * Verifies a part of the chain, up to the head unless `to` is given, and every anchor in it. Yields after each page.
 * Throws CHAIN_BROKEN. Cost: one hash per entry and one proof of the ledger per anchor.
 */
export async function* verifyChain(
  deps: ProofDeps,
  span: { readonly from: number; readonly to: number | undefined },
  signal: AbortSignal,
): AsyncGenerator<Progress> {
  const { store } = deps;
  const extent = await findExtent(store);
  const to = span.to ?? extent.head.sequence;
  let checked = 0;
  let anchors = 0;
  let last: Link = await linkBefore(store, span.from);
  if (span.from === last.sequence + 1 && last.sequence > 0) anchors += await checkStub(deps, last, signal);
  for await (const entries of walkChain(store, { from: span.from, to }, signal)) {
    const pageAnchors = await listAnchors(store, {
      from: entries[0]!.sequence,
      to: entries.at(-1)!.sequence,
      limit: entries.length,
      order: 'asc',
    });
    for (const anchor of pageAnchors) {
      const entry = entries[anchor.sequence - entries[0]!.sequence]!;
      await checkAnchor(deps, anchor, entry, signal);
      anchors++;
    }
    checked += entries.length;
    last = entries.at(-1)!;
    yield { checked, anchors };
  }
  if (span.to === undefined && !signal.aborted) checkEnd(extent, last);
}

/** The chain must end where the head row says, and where no anchor says otherwise. */
function checkEnd(extent: Awaited<ReturnType<typeof findExtent>>, last: Link): void {
  const { head, newestEntry, newestAnchor } = extent;
  if (newestEntry > head.sequence) throw chainBroken(head.sequence + 1, 'it lies behind the head');
  if (newestAnchor > head.sequence)
    throw chainBroken(head.sequence + 1, `it is missing, though ${newestAnchor} was anchored`);
  if (last.sequence === head.sequence && !sameBytes(last.hash, head.hash))
    throw chainBroken(head.sequence, 'it does not have the hash of the head');
}

/** Where entries were removed, the chain begins after an anchored one. Returns the number of anchors checked. */
async function checkStub(deps: ProofDeps, stub: Link, signal: AbortSignal): Promise<number> {
  const current = await findStub(deps.store);
  if (current.sequence !== stub.sequence) return 0;
  const { sequence } = stub;
  const [anchor] = await listAnchors(deps.store, { from: sequence, to: sequence, limit: 1, order: 'asc' });
  if (anchor === undefined)
    throw chainBroken(sequence, 'the entries up to it are gone, and it is not anchored');
  await checkAnchor(deps, anchor, stub, signal);
  return 1;
}

async function checkAnchor(deps: ProofDeps, anchor: Anchor, at: Link, signal: AbortSignal): Promise<void> {
  if (!sameBytes(anchor.hash, at.hash))
    throw chainBroken(at.sequence, 'it is not the entry that was anchored');
  const proven = await proveAnchor(deps, anchor, signal);
  if (signal.aborted) return;
  if (proven === undefined) throw chainBroken(at.sequence, 'its anchor cannot be proven');
  if (!holdsAnchor(proven, anchor))
    throw chainBroken(at.sequence, `ledger entry ${anchor.ledgerIndex} is not its anchor`);
}

/** Whether a ledger entry says what an anchor says. */
export function holdsAnchor({ entry }: ProvenEntry, anchor: Anchor): boolean {
  return entry.payload !== undefined && sameBytes(entry.payload, anchorPayload(anchor));
}

/**
 * The ledger's proof of an anchor, waited for where no checkpoint covers it yet; undefined when none came in time or the
 * signal aborted.
 */
export async function proveAnchor(
  { ledger, clock, proofWaitMs }: ProofDeps,
  anchor: Anchor,
  signal: AbortSignal,
): Promise<ProvenEntry | undefined> {
  const untilMs = clock.monotonicMs() + proofWaitMs;
  for (;;) {
    const proven = await ledger.prove(anchor.ledgerIndex);
    if (proven !== undefined || signal.aborted || clock.monotonicMs() >= untilMs) return proven;
    await delay(clock, PROOF_LOOK_MS, signal);
  }
}
