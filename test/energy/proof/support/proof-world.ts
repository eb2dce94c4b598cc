/**
 * ProofService on a real store and a real ledger, with a bus that keeps what is recorded once its transaction is
 * committed, and calls that keep their audit likewise. Who judges regimes and keeps forecasts is the test's to say.
 */
import { create, type DescMessage, type MessageInitShape } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import type { Bus } from '../../../../src/bus/bus.ts';
import { energyError } from '../../../../src/energy/errors.ts';
import {
  createProofService,
  type ProofServiceDeps,
  type ProvenForecast,
} from '../../../../src/energy/proof/proof-service.ts';
import { energyProofMigration } from '../../../../src/energy/proof/proof-store.ts';
import type { ProofIssued } from '../../../../src/gen/homeostat/energy/v1/energy_events_pb.ts';
import { BudgetMode, Regime } from '../../../../src/gen/homeostat/energy/v1/energy_service_pb.ts';
import {
  ListProofsRequestSchema,
  type Proof,
  type ProofContextSchema,
  ProofSchema,
  type ProofService,
  ProveClaimRequestSchema,
  ProvePredictionRequestSchema,
  VerifyReceiptRequestSchema,
} from '../../../../src/gen/homeostat/energy/v1/proof_service_pb.ts';
import { createIds } from '../../../../src/ids.ts';
import { ledgerMigrations } from '../../../../src/ledger/context.ts';
import type { Call, Handlers } from '../../../../src/rpc/handler.ts';
import type { Store } from '../../../../src/store/store.ts';
import { createLedgerWorld, type LedgerWorld } from '../../../ledger/ledger-world.ts';
import { callOf, principalOf } from '../../../support/calls.ts';
import type { FakeClock } from '../../../support/fake-clock.ts';

type Service = Handlers<typeof ProofService>;
/** A message written down, and not one made. */
type Init<Schema extends DescMessage> = Extract<MessageInitShape<Schema>, { readonly $typeName?: never }>;
type ClaimInit = Init<typeof ProveClaimRequestSchema>;
export type PredictionInit = Init<typeof ProvePredictionRequestSchema>;
type ContextInit = Init<typeof ProofContextSchema>;

export const migrations = [...ledgerMigrations, energyProofMigration];
export const STREAM = { domain: 'plant', cluster: 'a' };
/** Of [[1, 2], [3, 4]]. */
export const DIGEST_1234 = '7e0ae13ac17da554438d2af7008b181cc214643fd19bdafd76ccb3c3da32c86b';

export interface ProofWorld {
  readonly ledger: LedgerWorld;
  /** Events of committed transactions. */
  readonly issued: readonly ProofIssued[];
  /** Resources of committed audit entries. */
  readonly audited: readonly string[];
  /** Calls as somebody, who may give up. */
  as(principal: string, signal?: AbortSignal): Caller;
  /** A context captured now, with a nonce that nobody has used. */
  context(changed?: ContextInit): ContextInit & { readonly nonce: Uint8Array };
  /** A claim that holds. */
  claim(changed?: Partial<ClaimInit>): ClaimInit;
  /** A prediction that came true. */
  prediction(changed?: Partial<PredictionInit>): PredictionInit;
  close(): Promise<void>;
}

export interface Caller {
  claim(request: ClaimInit): Promise<Proof>;
  predict(request: PredictionInit): Promise<Proof>;
  get(proofId: string): Promise<Proof>;
  list(
    request?: MessageInitShape<typeof ListProofsRequestSchema>,
  ): Promise<{ readonly proofs: Proof[]; readonly nextPageToken: string }>;
  verify(
    receipt: Uint8Array,
    map?: MessageInitShape<typeof VerifyReceiptRequestSchema>['map'],
  ): Promise<{ readonly valid: boolean; readonly failures: readonly string[]; readonly body?: unknown }>;
}

export async function createProofWorld(options: {
  readonly store: Store;
  readonly clock: FakeClock;
  /** Of the regime that is claimed, EQUILIBRIUM; the rest is CRITICAL. */
  readonly probability?: () => number;
  /** Whether no regime can be told yet. */
  readonly isWarmingUp?: boolean;
  readonly forecasts?: readonly (ProvenForecast & { readonly forecastId: string })[];
  readonly q95?: number;
  /** What streams are configured with; promises nothing where unset. */
  readonly budgetMode?: BudgetMode;
  readonly ledger?: Partial<ProofServiceDeps['ledger']>;
}): Promise<ProofWorld> {
  const { store, clock, probability = () => 0.9 } = options;
  const issued: ProofIssued[] = [];
  const audited: string[] = [];
  let nonces = 0;
  const ledger = createLedgerWorld({ store, clock, config: { noteNames: ['sessions', 'proofs'] } });
  await ledger.context.start();
  const port = ledger.context.ledger;
  const bus: Pick<Bus, 'record'> = {
    async record(tx, topic, _key, message) {
      const event = create(topic.schema, message) as unknown as ProofIssued;
      tx.afterCommit(() => issued.push(event));
    },
  };
  const service = createProofService({
    store,
    clock,
    bus,
    newId: createIds(clock),
    ledger: {
      append: (tx, kind, key, bytes) => port.append(tx, `energy.${kind}`, key, bytes),
      sign: (message) => port.signBytes('proofs', message),
      verify: (message, signed) => port.verifyBytes('proofs', message, signed),
      readOnly: () => ledger.context.degraded()[0],
      ...options.ledger,
    },
    sliceMs: 4,
    durabilityClass: () => 'SYNCED',
    async requireStream(stream) {
      if (stream.cluster === 'unknown') throw energyError('STREAM_NOT_FOUND', stream);
      return { config: { budgetMode: options.budgetMode ?? BudgetMode.UNSPECIFIED } };
    },
    judge: async () => ({
      posterior: options.isWarmingUp ? [0, 0, 0, 0, 1] : [probability(), 0, 1 - probability(), 0, 0],
      modelVersion: 3,
    }),
    forecastOf: async (id) => options.forecasts?.find(({ forecastId }) => forecastId === id),
    q95Of: () => options.q95,
  });
  const handlers = service.handlers as unknown as Service;
  /** Nonces are unique in a test, whichever world makes them. */
  const nonce = () => {
    const bytes = new Uint8Array(16);
    new DataView(bytes.buffer).setUint32(0, nonces++);
    bytes.set(Buffer.from(worldNumber.toString().padStart(4)), 4);
    return bytes;
  };
  const worldNumber = worlds++;
  const world: ProofWorld = {
    ledger,
    issued,
    audited,
    as: (principal, signal) =>
      callerOf(
        handlers,
        callOf({
          principal: principalOf(principal, 'proof.*'),
          ...(signal && { signal }),
          async audit(tx, resource) {
            tx.afterCommit(() => audited.push(resource));
          },
        }),
      ),
    context: (changed = {}) => ({
      capturedAt: timestampFromMs(clock.nowMs()),
      nonce: nonce(),
      ...changed,
    }),
    claim: (changed = {}) => ({
      idempotencyKey: `claim-${worldNumber}-${nonces}`,
      map: { grid: { rows: 2, cols: 2, values: [1, 2, 3, 4] } },
      claimedRegime: Regime.EQUILIBRIUM,
      context: world.context(),
      ...changed,
    }),
    prediction: (changed = {}) => ({
      idempotencyKey: `prediction-${worldNumber}-${nonces}`,
      observed: { grid: { rows: 2, cols: 2, values: [1, 2, 3, 4] } },
      predicted: { rows: 2, cols: 2, values: [1, 2, 3, 4.1] },
      context: world.context(),
      ...changed,
    }),
    close: () => ledger.context.stop(),
  };
  return world;
}

let worlds = 0;

function callerOf(handlers: Service, call: Call): Caller {
  const proofOf = (reply: { proof?: unknown }) => create(ProofSchema, reply.proof as Proof);
  return {
    claim: async (request) =>
      proofOf(await handlers.proveClaim(create(ProveClaimRequestSchema, request), call)),
    predict: async (request) =>
      proofOf(await handlers.provePrediction(create(ProvePredictionRequestSchema, request), call)),
    get: async (proofId) => proofOf(await handlers.getProof({ proofId } as never, call)),
    list: async (request = {}) =>
      (await handlers.listProofs(create(ListProofsRequestSchema, request), call)) as never,
    verify: async (receipt, map) =>
      (await handlers.verifyReceipt(
        create(VerifyReceiptRequestSchema, { receipt, ...(map && { map }) }),
        call,
      )) as never,
  };
}
