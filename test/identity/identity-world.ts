/**
 * The whole of identity on a real store: verifier, services and audit trail as the composition root puts them together,
 * with a bus that keeps the events of committed transactions and a ledger in memory.
 */
import { create, type DescMethodUnary, type MessageInitShape, type MessageShape } from '@bufbuild/protobuf';
import { createIdentity, type Identity, type IdentityConfig } from '../../src/identity/context.ts';
import type { MethodsAccess } from '../../src/identity/principal/matrix.ts';
import { createIds } from '../../src/ids.ts';
import { createMetrics, type Logger } from '../../src/observability.ts';
import type { Principal } from '../../src/rpc/handler.ts';
import { createSealer } from '../../src/sealing.ts';
import { systemSecrets } from '../../src/secrets.ts';
import type { Store } from '../../src/store/store.ts';
import { callOf, LOOPBACK } from '../support/calls.ts';
import type { FakeClock } from '../support/fake-clock.ts';
import { silentLogger } from '../support/stores.ts';
import { CONFIG as auditConfig, createMemoryLedger } from './audit/audit-world.ts';
import { CONFIG as authConfig } from './token/auth-world.ts';

export const CONFIG: IdentityConfig = { ...authConfig, audit: auditConfig };

export interface IdentityWorld {
  readonly identity: Identity;
  /** Names of the topics of recorded events, in their order. */
  readonly events: readonly string[];
  /** Who a token belongs to; rejects as the verifier does. */
  verify(token: string): Promise<Principal>;
  /** Calls a method with a token, as the edge does: verified, and with its entry in the audit trail. */
  call<I extends DescMethodUnary['input'], O extends DescMethodUnary['output']>(
    token: string,
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
  ): Promise<MessageShape<O>>;
}

export function createIdentityWorld(options: {
  readonly store: Store;
  readonly dataDir: string;
  readonly clock: FakeClock;
  readonly logger?: Logger;
  readonly methods?: MethodsAccess;
}): IdentityWorld {
  const { store, dataDir, clock, logger = silentLogger, methods = new Map() } = options;
  const events: string[] = [];
  const identity = createIdentity({
    config: CONFIG,
    dataDir,
    store,
    bus: { record: async (tx, topic) => tx.afterCommit(() => events.push(topic.name)) },
    clock,
    logger,
    metrics: createMetrics(),
    secrets: systemSecrets,
    sealer: createSealer(new Uint8Array(32), systemSecrets),
    newId: createIds(clock),
    ledger: createMemoryLedger(),
    methods,
  });
  const verify = async (token: string) => identity.verifier.verify(token, LOOPBACK);
  return {
    identity,
    events,
    verify,
    async call(token, method, request) {
      const principal = await verify(token);
      const name = `${method.parent.typeName}/${method.name}`;
      const call = callOf({
        principal,
        audit: (tx, resource) =>
          identity.audit.record(tx, {
            principal: principal.id,
            method: name,
            code: 'OK',
            reason: '',
            peer: LOOPBACK.address,
            resource,
            requestDigest: new Uint8Array(32),
            requestId: 'r1',
          }),
      });
      const { handlers } = identity.services.find((one) => one.service.typeName === method.parent.typeName)!;
      const handler = handlers[method.localName] as (request: unknown, call: unknown) => Promise<object>;
      const reply = await handler(create(method.input, request), call);
      return create(method.output, reply as MessageInitShape<typeof method.output>);
    },
  };
}
