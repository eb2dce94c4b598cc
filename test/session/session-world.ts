/**
 * A session context on a real store, with a bus that keeps what it is given: recorded events once their transaction is
 * committed, transient ones at once. Placement and ledger do what the test says, inside the caller's transaction.
 */
import { create, type MessageInitShape, type MessageShape } from '@bufbuild/protobuf';
import type { BusEvent } from '../../src/bus/bus.ts';
import { topics } from '../../src/bus/topics.ts';
import { DefenseLevelChangedSchema } from '../../src/gen/homeostat/resilience/v1/resilience_events_pb.ts';
import type {
  SessionRefused,
  SessionStateChanged,
} from '../../src/gen/homeostat/session/v1/session_events_pb.ts';
import {
  CancelSessionRequestSchema,
  CreateSessionRequestSchema,
  GetSessionRequestSchema,
  ListSessionsRequestSchema,
  type Session,
  SessionSchema,
  type SessionService,
} from '../../src/gen/homeostat/session/v1/session_service_pb.ts';
import { createIds } from '../../src/ids.ts';
import { createMetrics } from '../../src/observability.ts';
import type { Handlers } from '../../src/rpc/handler.ts';
import {
  createSession,
  type Ledger,
  type Placement,
  type SessionBus,
  type SessionConfig,
} from '../../src/session/context.ts';
import type { Store } from '../../src/store/store.ts';
import { callOf, principalOf } from '../support/calls.ts';
import type { FakeClock } from '../support/fake-clock.ts';
import { silentLogger } from '../support/stores.ts';

export const OWNER_PERMISSIONS = ['session.read', 'session.write'];

export const CONFIG: SessionConfig = {
  sessionsMax: 200,
  sessionsPerOwnerMax: 20,
  startWithinMs: 3_600_000,
  retryAfterMs: 60_000,
  sweepIntervalMs: 60_000,
};

type LevelEvent = BusEvent<MessageShape<typeof DefenseLevelChangedSchema>>;

/** A change of the fleet's defense level as the bus delivers it. */
export function levelEvent(
  toLevel: number,
  at: { readonly sequence: number; readonly recordedAtMs: number },
  scope: { readonly domain: string; readonly cluster: string } = { domain: '', cluster: '' },
): LevelEvent {
  const seconds = BigInt(Math.floor(at.recordedAtMs / 1000));
  const nanos = (at.recordedAtMs % 1000) * 1_000_000;
  return {
    id: `level-${at.sequence}`,
    message: create(DefenseLevelChangedSchema, {
      change: { id: `change-${at.sequence}`, scope, toLevel, recordedAt: { seconds, nanos } },
    }),
    sequence: at.sequence,
    publishedAtMs: at.recordedAtMs,
    traceparent: undefined,
  };
}

export interface SessionWorld {
  /** Calls as a principal who may read and write sessions, or who has these permissions. */
  as(id: string, permissions?: readonly string[]): Caller;
  /** Hands events to the consumer, as one batch. */
  deliver(...events: readonly LevelEvent[]): Promise<void>;
  readonly changes: readonly SessionStateChanged[];
  readonly refusals: readonly SessionRefused[];
  readonly started: { start(): Promise<void>; stop(): Promise<void> };
  exposition(): Promise<string>;
}

export interface Caller {
  create(request: MessageInitShape<typeof CreateSessionRequestSchema>): Promise<Session>;
  get(sessionId: string): Promise<Session>;
  list(
    request?: MessageInitShape<typeof ListSessionsRequestSchema>,
  ): Promise<{ readonly sessions: Session[]; readonly nextPageToken: string }>;
  cancel(request: MessageInitShape<typeof CancelSessionRequestSchema>): Promise<Session>;
}

export function createSessionWorld(options: {
  readonly store: Store;
  readonly clock: FakeClock;
  readonly config?: Partial<SessionConfig>;
  readonly placement?: Partial<Placement>;
  readonly ledger?: Ledger;
  /** A real bus; `changes`, `refusals` and `deliver` are of no use then. */
  readonly bus?: SessionBus;
}): SessionWorld {
  const { store, clock } = options;
  const changes: SessionStateChanged[] = [];
  const refusals: SessionRefused[] = [];
  let consume: (events: readonly LevelEvent[]) => Promise<void> = () =>
    Promise.reject(new Error('not started'));
  const bus: SessionBus = {
    async record(tx, topic, _key, message) {
      const event = create(topic.schema, message);
      tx.afterCommit(() => changes.push(event as unknown as SessionStateChanged));
    },
    publish(topic, _id, message) {
      refusals.push(create(topic.schema, message) as unknown as SessionRefused);
    },
    async consume(options) {
      if (options.topic.name !== topics.defenseLevelChanged.name) throw new Error('unexpected topic');
      consume = options.handle as unknown as typeof consume;
      return { stop: async () => {} };
    },
  };
  const metrics = createMetrics();
  const context = createSession({
    config: { ...CONFIG, ...options.config },
    clock,
    store,
    bus: options.bus ?? bus,
    logger: silentLogger,
    metrics,
    newId: createIds(clock),
    placement: { reserve: async () => ({ placed: true }), release: async () => {}, ...options.placement },
    ledger: options.ledger ?? { append: async () => {} },
  });
  const handlers = context.services[0]!.handlers as unknown as Handlers<typeof SessionService>;
  return {
    as(id, permissions = OWNER_PERMISSIONS) {
      const call = callOf({ principal: principalOf(id, ...permissions) });
      return {
        async create(request) {
          const reply = await handlers.createSession(create(CreateSessionRequestSchema, request), call);
          return reply.session as Session;
        },
        async get(sessionId) {
          const reply = await handlers.getSession(create(GetSessionRequestSchema, { sessionId }), call);
          return create(SessionSchema, reply.session);
        },
        async list(request = {}) {
          const reply = await handlers.listSessions(create(ListSessionsRequestSchema, request), call);
          return reply as { sessions: Session[]; nextPageToken: string };
        },
        async cancel(request) {
          const reply = await handlers.cancelSession(create(CancelSessionRequestSchema, request), call);
          return reply.session as Session;
        },
      };
    },
    deliver: (...events) => consume(events),
    changes,
    refusals,
    started: context,
    exposition: () => metrics.exposition(),
  };
}
