/**
 * SessionService: requests to the domain and back. Each command is one transaction that holds its rows, its event, its
 * ledger entry and its idempotency key. A refused command leaves nothing behind, its key included: sent again after
 * the retry delay with the same key, it is judged anew.
 */
import { type FieldViolation, fieldError } from '../errors.ts';
import {
  type CancelSessionRequest,
  type ListSessionsRequest,
  SessionService,
} from '../gen/homeostat/session/v1/session_service_pb.ts';
import { runCommand } from '../rpc/command.ts';
import { type Call, type Handlers, type ServiceBinding, serviceBinding } from '../rpc/handler.ts';
import type { Tx } from '../store/store.ts';
import { refusalCause } from './admission.ts';
import type { SessionDeps } from './context.ts';
import { descriptionFromProto, sessionToProto, stateFromProto } from './contract.ts';
import { sessionError } from './errors.ts';
import { type Counters, changeBytes, commitChange, publishRefused, type Refusal } from './publish.ts';
import { cancel, type Description, type Session, type SessionEvent, textViolations } from './session.ts';
import { findOccupancy, findSession, listSessions, type SessionFilter } from './store.ts';

const PAGE_SIZE = 50;
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** Commands on anybody's sessions; without it a caller commands its own. */
const OPERATE = 'session.operate';

/** Kind of the ledger entry of a cancellation. */
const CANCELLED = 'cancelled';

type Deps = Omit<SessionDeps, 'logger' | 'metrics'> & { readonly counters: Counters };

/** Rolls the admission back, reservation and all. Becomes ADMISSION_REFUSED once that has happened. */
class Refused extends Error {
  readonly refusal: Refusal;
  readonly retryAfterMs: number;

  constructor(refusal: Refusal, retryAfterMs: number) {
    super('refused');
    this.refusal = refusal;
    this.retryAfterMs = retryAfterMs;
  }
}

export function createSessionService(deps: Deps): ServiceBinding {
  const { store, bus, counters, newId } = deps;

  const handlers: Handlers<typeof SessionService> = {
    async createSession(request, call) {
      const about = descriptionFromProto(request);
      refuse(descriptionViolations(about));
      try {
        return await runCommand(deps, call, {
          method: SessionService.method.createSession,
          request,
          ...commanded(request),
          work: async (tx) => ({ session: sessionToProto(await admit(deps, tx, call, about)) }),
        });
      } catch (error) {
        if (!(error instanceof Refused)) throw error;
        const { refusal, retryAfterMs } = error;
        counters.refused(refusal.cause);
        publishRefused(bus, newId(), refusal, call.traceparent);
        throw sessionError(
          'ADMISSION_REFUSED',
          { cause: refusal.cause, level: refusal.level },
          { retryAfterMs },
        );
      }
    },

    async getSession({ sessionId }) {
      return { session: sessionToProto(found(await findSession(store, sessionId), sessionId)) };
    },

    async listSessions(request) {
      const filter = filterOf(request);
      const sessions = await listSessions(store, { ...filter, limit: filter.limit + 1 });
      const page = sessions.slice(0, filter.limit);
      const more = sessions.length > page.length;
      return { sessions: page.map(sessionToProto), nextPageToken: more ? page.at(-1)!.sessionId : '' };
    },

    async cancelSession(request, call) {
      refuse(textViolations({ reason: request.reason }));
      return runCommand(deps, call, {
        method: SessionService.method.cancelSession,
        request,
        ...commanded(request),
        work: async (tx) => ({ session: sessionToProto(await giveUp(deps, tx, call, request)) }),
      });
    },
  };
  return serviceBinding(SessionService, handlers);
}

/** Stores a new session if it is admitted; throws Refused, which rolls back what was reserved. */
async function admit(deps: Deps, tx: Tx, call: Call, about: Description): Promise<Session> {
  const owner = call.principal.id;
  const { config } = deps;
  const sessionId = deps.newId();
  const atMs = deps.clock.nowMs();
  const occupancy = await findOccupancy(tx, owner);
  const refusal = { owner, level: occupancy.level, priority: about.priority, atMs };
  const cause = refusalCause(about.priority, occupancy, config);
  if (cause !== undefined) throw new Refused({ ...refusal, cause }, config.retryAfterMs);
  const place = await deps.placement.reserve({ sessionId, owner, priority: about.priority }, tx);
  if (!place.placed)
    throw new Refused({ ...refusal, cause: 'PLACEMENT' }, place.retryAfterMs ?? config.retryAfterMs);
  const event: SessionEvent = {
    kind: 'Created',
    atMs,
    sessionId,
    owner,
    about,
    ...(place.nodeId !== undefined && { nodeId: place.nodeId }),
    startByMs: atMs + config.startWithinMs,
  };
  const change = await commitChange(deps, tx, undefined, event, call.traceparent);
  return change.session;
}

/** Cancels a session. Throws SESSION_NOT_FOUND, NOT_OWNER, VERSION_CONFLICT or WRONG_STATE, looked at in this order. */
async function giveUp(deps: Deps, tx: Tx, call: Call, request: CancelSessionRequest): Promise<Session> {
  const { principal, traceparent } = call;
  const { sessionId, version, reason } = request;
  const before = found(await findSession(tx, sessionId), sessionId);
  if (before.owner !== principal.id && !principal.allows(OPERATE)) throw sessionError('NOT_OWNER', {});
  if (version !== undefined && version !== BigInt(before.version))
    throw sessionError('VERSION_CONFLICT', { current: before.version });
  const decision = cancel(before, principal.id, reason, deps.clock.nowMs());
  if ('wrong' in decision) {
    const { state, allowed } = decision.wrong;
    throw sessionError('WRONG_STATE', { state, allowed: allowed.join(',') });
  }
  const change = await commitChange(deps, tx, before, decision.event, traceparent);
  await deps.placement.release(sessionId, tx);
  await deps.ledger.append(tx, CANCELLED, sessionId, changeBytes(change));
  return change.session;
}

/** What session's commands have in common: their key, and what the audit trail calls them about. */
function commanded({ idempotencyKey }: { readonly idempotencyKey: string }) {
  return {
    key: idempotencyKey,
    reused: () => sessionError('IDEMPOTENCY_KEY_REUSED', { idempotency_key: idempotencyKey }),
    resource: (reply: { readonly session?: { readonly sessionId: string } | undefined }) =>
      `session/${reply.session?.sessionId ?? ''}`,
  };
}

function found(session: Session | undefined, sessionId: string): Session {
  if (!session) throw sessionError('SESSION_NOT_FOUND', { session_id: sessionId });
  return session;
}

function refuse(violations: readonly FieldViolation[]): void {
  if (violations.length > 0) throw fieldError(sessionError.domain, violations);
}

function descriptionViolations(about: Description): FieldViolation[] {
  const { name, description, project, environment, tags } = about;
  return textViolations({
    name,
    description,
    'metadata.project': project,
    'metadata.environment': environment,
    ...Object.fromEntries(tags.map((tag, i) => [`metadata.tags[${i}]`, tag])),
  });
}

function filterOf(request: ListSessionsRequest): SessionFilter {
  const { owner, tag, page } = request;
  const violations = textViolations({ owner, tag });
  const states = request.states.map(stateFromProto);
  for (const [i, state] of states.entries())
    if (state === undefined) violations.push({ field: `states[${i}]`, description: 'must be a state' });
  const token = page?.pageToken ?? '';
  if (token !== '' && !UUID.test(token))
    violations.push({ field: 'page.page_token', description: 'must be the token of the page before' });
  refuse(violations);
  return {
    states: states.filter((state) => state !== undefined),
    owner,
    tag,
    before: token === '' ? undefined : token,
    limit: page?.pageSize ?? PAGE_SIZE,
  };
}
