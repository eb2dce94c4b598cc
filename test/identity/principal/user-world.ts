/**
 * UserService and ApiKeyService on a real store, with callers that the roles in that store let do what they let them do.
 * Events are kept once their transaction is committed, as are the resources that the audit trail is told of.
 */
import { create, type DescMethodUnary, type MessageInitShape, type MessageShape } from '@bufbuild/protobuf';
import type { Topic } from '../../../src/bus/topics.ts';
import { type Change, createChanges } from '../../../src/identity/changes.ts';
import { createKeyService } from '../../../src/identity/key/key-service.ts';
import { createPasswords } from '../../../src/identity/password/password-service.ts';
import { createAttempts } from '../../../src/identity/password/throttle-store.ts';
import { accessOf } from '../../../src/identity/principal/access.ts';
import type { MethodsAccess } from '../../../src/identity/principal/matrix.ts';
import { newPrincipal, type StoredPrincipal } from '../../../src/identity/principal/principal.ts';
import { addPrincipal, findPrincipal } from '../../../src/identity/principal/principal-store.ts';
import { loadRoles } from '../../../src/identity/principal/role-store.ts';
import { createUserService } from '../../../src/identity/principal/user-service.ts';
import { createIds } from '../../../src/ids.ts';
import { createSealer } from '../../../src/sealing.ts';
import { systemSecrets } from '../../../src/secrets.ts';
import type { Store } from '../../../src/store/store.ts';
import { callOf } from '../../support/calls.ts';
import type { FakeClock } from '../../support/fake-clock.ts';
import { silentLogger } from '../../support/stores.ts';

export const METHODS: MethodsAccess = new Map([
  ['homeostat.energy.v1.EnergyService/GetMap', { permission: 'energy.read', public: false }],
  ['homeostat.node.v1.NodeService/DrainNode', { permission: 'node.operate', public: false }],
  ['homeostat.identity.v1.UserService/CreateUser', { permission: 'user.admin', public: false }],
  ['grpc.health.v1.Health/Check', { permission: '', public: true }],
]);

export interface KeptEvent {
  readonly topic: string;
  readonly key: string;
  readonly message: object;
}

export type Invoke = <I extends DescMethodUnary['input'], O extends DescMethodUnary['output']>(
  method: DescMethodUnary<I, O>,
  request: MessageInitShape<I>,
) => Promise<MessageShape<O>>;

export interface UserWorld {
  /** Adds a principal with these roles, whose id is its name. */
  add(name: string, roles: readonly string[], change?: Partial<StoredPrincipal>): Promise<void>;
  /** Calls as a principal that is there, with a credential of these scopes. */
  as(id: string, scopes?: readonly string[]): Promise<Invoke>;
  readonly events: readonly KeptEvent[];
  /** Changes that servers are told of. */
  readonly changes: readonly Change[];
  /** What successful commands were about. */
  readonly audited: readonly string[];
}

const sealer = createSealer(new Uint8Array(32), systemSecrets);

export function createUserWorld(options: { readonly store: Store; readonly clock: FakeClock }): UserWorld {
  const { store, clock } = options;
  const events: KeptEvent[] = [];
  const changesHeard: Change[] = [];
  const audited: string[] = [];
  const bus = {
    async record(
      tx: { afterCommit(callback: () => void): void },
      topic: Topic,
      key: string,
      message: MessageInitShape<Topic['schema']>,
    ) {
      const event = { topic: topic.name, key, message: create(topic.schema, message) };
      tx.afterCommit(() => events.push(event));
    },
  };
  const changes = createChanges({
    config: { pollIntervalMs: 250, staleMs: 30_000 },
    store,
    clock,
    logger: silentLogger,
  });
  changes.subscribe((heard) => changesHeard.push(...(heard as readonly Change[])));
  const base = { store, bus, clock, secrets: systemSecrets, changes };
  const passwords = createPasswords({
    config: { passwordMemoryKib: 19_456, passwordPasses: 2 },
    secrets: systemSecrets,
  });
  const attempts = createAttempts({ store, clock });
  const newId = createIds(clock);
  const services = [
    createUserService({ ...base, sealer, passwords, attempts, newId, methods: METHODS }),
    createKeyService({ ...base, sealer }),
  ];

  return {
    async add(name, roles, change = {}) {
      const about = { id: name, username: name, kind: 'USER', roles, tier: 'FREE' } as const;
      const added = await store.transact((tx) =>
        addPrincipal(tx, { ...newPrincipal(about, clock.nowMs()), ...change }),
      );
      if (!added) throw new Error(`${name} is there already`);
    },
    async as(id, scopes) {
      const found = await findPrincipal(store, id);
      const { allows } = accessOf(await loadRoles(store), found!.roles, scopes);
      const principal = {
        id,
        tier: 'FREE',
        credential: { kind: 'API_KEY', id: '', familyId: '' },
        allows,
      } as const;
      const call = callOf({
        principal,
        audit: async (tx, resource) => tx.afterCommit(() => audited.push(resource)),
      });
      return async (method, request) => {
        const { handlers } = services.find(({ service }) => service.typeName === method.parent.typeName)!;
        const handler = handlers[method.localName] as (request: unknown, call: unknown) => Promise<object>;
        return create(
          method.output,
          (await handler(create(method.input, request), call)) as MessageInitShape<typeof method.output>,
        );
      };
    },
    events,
    changes: changesHeard,
    audited,
  };
}
