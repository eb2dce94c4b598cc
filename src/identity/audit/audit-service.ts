/**
 * AuditService: what the chain says, and proofs of it. Lists go by time, newest first; a call looks at `LOOKED_AT_MAX`
 * entries at most, a page of them between two turns of the event loop, so a filter that matches little gives short
 * pages with a token to go on with.
 */
import type { MessageInitShape } from '@bufbuild/protobuf';
import type { Timestamp } from '@bufbuild/protobuf/wkt';
import type { Bus } from '../../bus/bus.ts';
import { type FieldViolation, fieldError } from '../../errors.ts';
import {
  type AuditAnchorSchema,
  AuditService,
  type QueryAuditRequest,
} from '../../gen/homeostat/identity/v1/audit_service_pb.ts';
import type { TimeRange } from '../../gen/homeostat/type/v1/stream_ref_pb.ts';
import { identityError as edgeIdentityError } from '../../rpc/errors.ts';
import { type Call, type Handlers, type ServiceBinding, serviceBinding } from '../../rpc/handler.ts';
import type { Store } from '../../store/store.ts';
import { identityError } from '../errors.ts';
import { textViolations } from '../text.ts';
import type { Anchor } from './anchor.ts';
import { findAnchorFrom, findHead, findStub, listAnchors } from './audit-store.ts';
import { entryToProto } from './contract.ts';
import { sameBytes } from './entry.ts';
import {
  chainBroken,
  holdsAnchor,
  type ProofDeps,
  proveAnchor,
  verifyChain,
  walkChain,
} from './proof-service.ts';
import { type EntryFilter, findSpan, listNewest, type Place, type TimeSpan } from './query-store.ts';
import { anchorHead, type Ledger, type ProvenEntry } from './sweep.ts';

export interface AuditServiceDeps extends ProofDeps {
  readonly store: Store;
  readonly bus: Pick<Bus, 'record'>;
  readonly ledger: Ledger;
}

const PAGE_SIZE = 50;
const LOOKED_AT_MAX = 100_000;

/** Entries verified between two messages about it. */
const PROGRESS_ENTRIES = 10_000;

/** Anchors looked at for the newest that can be proven: the last may be younger than the last checkpoint. */
const NEWEST_ANCHORS = 3;

/** When an export that lacks its proof may be tried again. */
const RETRY_MS = 1_000;

type Request<Name extends keyof Handlers<typeof AuditService>> = Parameters<
  Handlers<typeof AuditService>[Name]
>[0];
type ExportItem = MessageInitShape<(typeof AuditService.method.exportAudit)['output']>;

export function createAuditService(deps: AuditServiceDeps): ServiceBinding {
  const handlers: Handlers<typeof AuditService> = {
    async queryAudit(request, call) {
      const filter = filterOf(request);
      const limit = request.page?.pageSize ?? PAGE_SIZE;
      const before = placeOf(request.page?.pageToken ?? '');
      const budget = { limit, lookedAtMax: LOOKED_AT_MAX, signal: call.signal };
      const { entries, next } = await listNewest(deps.store, filter, before, budget);
      return { entries: entries.map(entryToProto), nextPageToken: next ? tokenOf(next) : '' };
    },

    async getAuditHead() {
      const { sequence, hash } = await findHead(deps.store);
      const anchor = await newestProven(deps);
      return { sequence: BigInt(sequence), hash, ...(anchor && { anchor }) };
    },

    verifyAudit: (request, call) => verify(deps, request, call),
    exportAudit: (request, call) => exportSpan(deps, request, call),
  };
  return serviceBinding(AuditService, handlers);
}

async function newestProven(deps: AuditServiceDeps) {
  const everything = { from: 0, to: Number.MAX_SAFE_INTEGER };
  const anchors = await listAnchors(deps.store, { ...everything, limit: NEWEST_ANCHORS, order: 'desc' });
  for (const anchor of anchors) {
    const proven = await deps.ledger.prove(anchor.ledgerIndex);
    if (proven) return provenToProto(anchor, proven);
  }
  return undefined;
}

/** Throws CHAIN_BROKEN where the ledger does not hold what the anchor says. */
function provenToProto(anchor: Anchor, proven: ProvenEntry): MessageInitShape<typeof AuditAnchorSchema> {
  if (!holdsAnchor(proven, anchor))
    throw chainBroken(anchor.sequence, `ledger entry ${anchor.ledgerIndex} is not its anchor`);
  const { entry, proof, checkpoint } = proven;
  return { sequence: BigInt(anchor.sequence), hash: anchor.hash, entry, proof: [...proof], checkpoint };
}

async function* verify(deps: AuditServiceDeps, request: Request<'verifyAudit'>, call: Call) {
  const { signal } = call;
  const first = (await findStub(deps.store)).sequence + 1;
  const head = (await findHead(deps.store)).sequence;
  const isOneOf = (asked: bigint | undefined, from: number) =>
    asked === undefined || (asked >= from && asked <= head);
  const from = Number(request.start ?? first);
  const violations: FieldViolation[] = [];
  if (!isOneOf(request.start, first))
    violations.push({ field: 'start', description: `must be one of ${first}..${head}` });
  if (!isOneOf(request.end, from))
    violations.push({ field: 'end', description: `must be one of ${from}..${head}` });
  refuse(violations);
  const to = request.end === undefined ? undefined : Number(request.end);
  let told = 0;
  let progress = { checked: 0, anchors: 0 };
  const answer = (done: boolean) => ({
    checked: BigInt(progress.checked),
    anchors: BigInt(progress.anchors),
    done,
  });
  for await (progress of verifyChain(deps, { from, to }, signal)) {
    if (progress.checked - told < PROGRESS_ENTRIES) continue;
    told = progress.checked;
    yield answer(false);
  }
  signal.throwIfAborted();
  yield answer(true);
}

/** The entries of a span of time and on to the anchor that proves them, then that anchor. Nothing for an empty span. */
async function* exportSpan(
  deps: AuditServiceDeps,
  request: Request<'exportAudit'>,
  call: Call,
): AsyncGenerator<ExportItem> {
  const { signal } = call;
  const span = rangeOf(request.range);
  await deps.store.transactInTurn((tx) => call.audit(tx, spanText(request.range)));
  const found = await findSpan(deps.store, span, signal);
  if (found === undefined) return;
  const anchor = (await findAnchorFrom(deps.store, found.last)) ?? (await anchorHead(deps));
  const proven = anchor && (await proveAnchor(deps, anchor, signal));
  signal.throwIfAborted();
  if (!proven) throw edgeIdentityError('AUDIT_UNAVAILABLE', {}, { retryAfterMs: RETRY_MS });
  let next = found.first;
  for await (const entries of walkChain(deps.store, { from: next, to: anchor.sequence }, signal)) {
    // An offline check would find a hole; the span's beginning has just grown too old to be kept.
    if (entries[0]!.sequence !== next)
      refuse([
        { field: 'range.start', description: 'must be later: entries were just removed for their age' },
      ]);
    for (const entry of entries) yield { item: { case: 'entry', value: entryToProto(entry) } };
    const last = entries.at(-1)!;
    if (last.sequence === anchor.sequence && !sameBytes(last.hash, anchor.hash))
      throw chainBroken(last.sequence, 'it is not the entry that was anchored');
    next = last.sequence + 1;
  }
  signal.throwIfAborted();
  yield { item: { case: 'anchor', value: provenToProto(anchor, proven) } };
}

const METHOD = /^([A-Za-z0-9_./]*|\*)$/;

function filterOf(request: QueryAuditRequest): EntryFilter {
  const { principal, method, code } = request;
  const violations = textViolations({ principal: principal ?? '' });
  if (!METHOD.test(method))
    violations.push({ field: 'method', description: 'must be the full name of an RPC' });
  refuse(violations);
  return { principal, method, code, ...rangeOf(request.range) };
}

/** Beyond every time an entry can have, milliseconds: 142,000 years. */
const FAR_MS = 2 ** 52;

/** A half-open span of time, wall milliseconds. */
function rangeOf(range: TimeRange | undefined): TimeSpan {
  const fromMs = instantMs(range?.start, -FAR_MS);
  const beforeMs = instantMs(range?.end, FAR_MS + 1);
  if (beforeMs <= fromMs) refuse([{ field: 'range.end', description: 'must be after range.start' }]);
  return { fromMs, beforeMs };
}

/** The first whole millisecond not before an instant. */
function instantMs(instant: Timestamp | undefined, otherwise: number): number {
  if (instant === undefined) return otherwise;
  const ms = Number(instant.seconds) * 1_000 + Math.ceil(instant.nanos / 1_000_000);
  return Math.min(Math.max(ms, -FAR_MS), FAR_MS);
}

/** A span of time as the trail calls it: `audit/`, then its ends in milliseconds, empty where it has none. */
function spanText(range: TimeRange | undefined): string {
  const [from, before] = [range?.start, range?.end].map((end) => (end ? instantMs(end, 0) : ''));
  return `audit/${from}..${before}`;
}

const TOKEN = /^(-?\d{1,16})\.(\d{1,16})$/;

function tokenOf(place: Place): string {
  return place.join('.');
}

function placeOf(token: string): Place | undefined {
  if (token === '') return undefined;
  const [, ms, sequence] = TOKEN.exec(token) ?? [];
  const place: Place = [Number(ms), Number(sequence)];
  if (!place.every(Number.isSafeInteger))
    refuse([{ field: 'page.page_token', description: 'must be the token of the page before' }]);
  return place;
}

function refuse(violations: readonly FieldViolation[]): void {
  if (violations.length > 0) throw fieldError(identityError.domain, violations);
}
