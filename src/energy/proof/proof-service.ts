/**
 * ProofService: what is said of maps, or foretold, to signed receipts. Maps are measured before the transaction, in
 * slices; everything that is written is one transaction with the idempotency key and the audit entry. Any number of
 * servers may prove on one database.
 */
import { type Timestamp, timestampMs } from '@bufbuild/protobuf/wkt';
import type { Clock } from '../../clock.ts';
import { type FieldViolation, fieldError } from '../../errors.ts';
import { BudgetMode, Regime, type StreamConfig } from '../../gen/homeostat/energy/v1/energy_service_pb.ts';
import {
  type ListProofsRequest,
  ProofService,
  type ProveClaimRequest,
  type ProvePredictionRequest,
  type VerifyReceiptRequest,
} from '../../gen/homeostat/energy/v1/proof_service_pb.ts';
import { sameHash } from '../../numeric/merkle.ts';
import { runInSlices, type Steps } from '../../numeric/slices.ts';
import { runCommand } from '../../rpc/command.ts';
import { type Call, type Handlers, type ServiceBinding, serviceBinding } from '../../rpc/handler.ts';
import type { Store } from '../../store/store.ts';
import { energyError } from '../errors.ts';
import { digestSteps } from '../map/digest.ts';
import type { MapField } from '../map/state.ts';
import type { StreamName } from '../stream/stream-name.ts';
import { type Case, type IssueDeps, issueProof } from './issue-service.ts';
import { type Budget, createInstruments, type Evidence, type Instruments, measureSteps } from './measure.ts';
import { observationSteps } from './observation.ts';
import { findProof, listProofs, type ProofFilter } from './proof-store.ts';
import { idBytes, idText, parseReceipt } from './receipt.ts';
import {
  readClaim,
  readMap,
  readPrediction,
  requireShape,
  ruledBudget,
  TIME_MAX_MS,
  type Told,
} from './request.ts';

export interface ProofServiceDeps extends IssueDeps {
  readonly clock: Clock;
  readonly store: Store;
  /** Longest time one computation holds the event loop, ms. */
  readonly sliceMs: number;
  /** Throws STREAM_NOT_FOUND for a stream nobody has seen. */
  readonly requireStream: (
    stream: StreamName,
  ) => Promise<{ readonly config: Pick<StreamConfig, 'budgetMode'> }>;
  /** How probable each regime is of a map, as if it came next in its stream, or of it alone; in the order of Regime. */
  readonly judge: (
    stream: StreamName | undefined,
    map: MapField,
    signal: AbortSignal,
  ) => Promise<{ readonly posterior: readonly number[]; readonly modelVersion: number }>;
  /** A forecast that was answered and is kept. */
  readonly forecastOf: (forecastId: string) => Promise<ProvenForecast | undefined>;
  /** 95th percentile of the VRMSE of a stream's forecasts so far ahead; undefined where it is not known. */
  readonly q95Of: (stream: StreamName, horizon: number) => Promise<number | undefined> | number | undefined;
  readonly unavailable?: () => readonly string[];
}

/** A forecast of the server, its cells row-major. */
export interface ProvenForecast {
  readonly stream: StreamName;
  readonly modelVersion: number;
  /** Windows ahead. */
  readonly horizon: number;
  readonly rows: number;
  readonly cols: number;
  readonly prediction: Float32Array;
  readonly lower: Float32Array;
  readonly upper: Float32Array;
  /** Share of cells that the interval is said to hold, 0..1. */
  readonly coverage: number;
  /** Window it foretells, ms since 1970. */
  readonly targetStartMs: number;
  readonly targetEndMs: number;
}

const PAGE_SIZE = 50;

interface Deps extends ProofServiceDeps {
  readonly instruments: Instruments;
}

export function createProofService(given: ProofServiceDeps): ServiceBinding {
  const deps: Deps = { ...given, instruments: createInstruments() };
  const handlers: Handlers<typeof ProofService> = {
    async proveClaim(request, call) {
      const examined = await examineClaim(deps, request, call);
      return runCommand(deps, call, {
        method: ProofService.method.proveClaim,
        request,
        ...commanded(request),
        work: async (tx) => ({ proof: await issueProof(deps, tx, call, examined) }),
      });
    },

    async provePrediction(request, call) {
      const examined = await examinePrediction(deps, request, call);
      return runCommand(deps, call, {
        method: ProofService.method.provePrediction,
        request,
        ...commanded(request),
        work: async (tx) => ({ proof: await issueProof(deps, tx, call, examined) }),
      });
    },

    async getProof({ proofId }) {
      const proof = await findProof(deps.store, proofId);
      if (proof === undefined) throw energyError('PROOF_NOT_FOUND', { proof_id: proofId });
      return { proof };
    },

    async listProofs(request) {
      const filter = filterOf(request);
      const found = await listProofs(deps.store, { ...filter, limit: filter.limit + 1 });
      const proofs = found.slice(0, filter.limit);
      const last = found.length > proofs.length ? proofs.at(-1) : undefined;
      return { proofs, nextPageToken: last ? `${timestampMs(last.issuedAt!)}.${last.proofId}` : '' };
    },

    verifyReceipt: (request, call) => verifyReceipt(deps, request, call),
  };
  return serviceBinding(ProofService, handlers, deps.unavailable);
}

async function examineClaim(deps: Deps, request: ProveClaimRequest, call: Call): Promise<Case> {
  const told = readClaim(request);
  const { stream, map } = told;
  const budget = await budgetOf(deps, told, stream);
  const { posterior, modelVersion } = await deps.judge(stream, map.field, call.signal);
  const { claimedRegime } = request;
  return examine(deps, call, {
    told,
    mode: 'CLAIM',
    stream,
    reference: told.before?.cells,
    evidence: { budget, probability: probabilityOf(claimedRegime, posterior) },
    facts: { claimedRegime, modelVersion },
  });
}

/** How probable a claimed regime is; undefined where none can be told yet, which speaks neither for a claim nor against it. */
function probabilityOf(claimed: Regime, posterior: readonly number[]): number | undefined {
  const isWarmingUp = posterior[Regime.WARMING_UP - 1] === 1;
  return isWarmingUp && claimed !== Regime.WARMING_UP ? undefined : (posterior[claimed - 1] ?? 0);
}

async function examinePrediction(deps: Deps, request: ProvePredictionRequest, call: Call): Promise<Case> {
  const told = readPrediction(request);
  const forecast = request.forecastId === '' ? undefined : await forecastOf(deps, request, told);
  const stream = forecast?.stream ?? told.stream;
  const budget = await budgetOf(deps, told, stream);
  const horizon = forecast?.horizon ?? request.horizon ?? 1;
  return examine(deps, call, {
    told,
    mode: 'PREDICTION',
    stream,
    reference: forecast?.prediction ?? told.predicted!.cells,
    evidence: {
      budget,
      predicted: forecast ? new Float64Array(forecast.prediction) : told.predicted!.field.cells,
      interval: forecast,
      pointwiseMax: stream && (await deps.q95Of(stream, horizon)),
    },
    facts: { horizon, modelVersion: forecast?.modelVersion ?? 0, forecastId: idBytes(request.forecastId) },
    ...(forecast && { target: { startMs: forecast.targetStartMs, endMs: forecast.targetEndMs } }),
  });
}

/** The budget told, by the rule of its stream. Throws STREAM_NOT_FOUND, and FIELD_INVALID where that speaks against it. */
async function budgetOf(
  deps: Deps,
  { budget }: Told,
  stream: StreamName | undefined,
): Promise<Budget | undefined> {
  const record = stream && (await deps.requireStream(stream));
  return budget && ruledBudget(budget, record?.config.budgetMode ?? BudgetMode.UNSPECIFIED);
}

/** The forecast named. Throws FORECAST_NOT_FOUND, and what speaks against what is said of it. */
async function forecastOf(
  deps: Deps,
  { forecastId, horizon }: ProvePredictionRequest,
  { stream, map }: Told,
): Promise<ProvenForecast> {
  const forecast = await deps.forecastOf(forecastId);
  if (forecast === undefined) throw energyError('FORECAST_NOT_FOUND', { forecast_id: forecastId });
  const violations: FieldViolation[] = [];
  if (stream && (stream.domain !== forecast.stream.domain || stream.cluster !== forecast.stream.cluster))
    violations.push({ field: 'context.stream', description: 'must be that of the forecast, or unset' });
  if (horizon !== undefined && horizon !== forecast.horizon)
    violations.push({
      field: 'horizon',
      description: `must be that of the forecast, ${forecast.horizon}, or unset`,
    });
  if (violations.length > 0) throw fieldError(energyError.domain, violations);
  requireShape(forecast, map);
  return forecast;
}

interface Question {
  readonly told: Told;
  readonly mode: Case['mode'];
  readonly stream: StreamName | undefined;
  /** The map predicted, or before, as it was given. */
  readonly reference: Float32Array | undefined;
  /** What the map is measured against beside what is told of it. */
  readonly evidence: Partial<Evidence>;
  readonly facts: Case['facts'];
  readonly target?: { readonly startMs: number; readonly endMs: number };
}

/** Measures the map and takes the digests. */
async function examine(deps: Deps, call: Call, question: Question): Promise<Case> {
  const { told, mode, stream, reference, evidence, facts, target } = question;
  const { map, said } = told;
  const { rows, cols } = map.field;
  const { checks, faults } = await inSlices(
    deps,
    call,
    measureSteps({ ...said, ...evidence, observed: map.field }, deps.instruments),
  );
  const digestOf = (cells: Float32Array) => inSlices(deps, call, digestSteps(cells, rows, cols));
  return {
    mode,
    checks,
    facts: { ...facts, ...(reference && { referenceDigest: await digestOf(reference) }) },
    observation: await inSlices(deps, call, observationSteps(map.cells, map.field)),
    origin: {
      stream,
      digest: await digestOf(map.cells),
      claimedDigest: told.claimedDigest,
      nonce: told.nonce,
      signature: told.signature,
      capturedAtMs: told.capturedAtMs,
      target,
      parentProofId: told.parentProofId,
      faults,
    },
  };
}

function inSlices<Result>(deps: Deps, call: Call, steps: Steps<Result>): Promise<Result> {
  return runInSlices(steps, { clock: deps.clock, sliceMs: deps.sliceMs, signal: call });
}

/** What commands have in common: their key, and what the audit trail calls them about. */
function commanded({ idempotencyKey }: { readonly idempotencyKey: string }) {
  return {
    key: idempotencyKey,
    reused: () => energyError('IDEMPOTENCY_KEY_REUSED', {}),
    resource: (reply: { readonly proof?: { readonly proofId: string } | undefined }) =>
      `proof/${reply.proof?.proofId ?? ''}`,
  };
}

/** Looks at form, signature, the proofs that are kept, and the map, in this order. */
async function verifyReceipt(deps: Deps, { receipt, map }: VerifyReceiptRequest, call: Call) {
  const given = map && readMap(map);
  const parsed = parseReceipt(receipt);
  if (parsed === undefined) return { valid: false, failures: ['it is not a receipt'] };
  const { body } = parsed;
  if (!deps.ledger.verify(parsed.message, parsed))
    return { valid: false, failures: ['its signature is not by this server'] };
  const failures: string[] = [];
  const kept = await findProof(deps.store, idText(body.proofId));
  if (kept === undefined || !sameHash(kept.receipt, receipt))
    failures.push('no proof that was issued has it');
  if (given) {
    const { rows, cols } = given.field;
    const digest = await inSlices(deps, call, digestSteps(given.cells, rows, cols));
    const observation = await inSlices(deps, call, observationSteps(given.cells, given.field));
    if (!sameHash(digest, body.observationDigest)) failures.push('it is of another map');
    // A map without a mask does not say which of its cells were observed.
    else if (map!.observed.length > 0 && !sameHash(observation.digest, body.observedDigest))
      failures.push('other cells of the map were observed');
  }
  return { valid: failures.length === 0, failures, body };
}

function filterOf({ stream, range, verdict, page }: ListProofsRequest): ProofFilter {
  const token = page?.pageToken ?? '';
  const [, issuedAtMs, proofId] = /^(\d{1,15})\.([0-9a-f-]{36})$/.exec(token) ?? [];
  if (token !== '' && proofId === undefined)
    throw fieldError(energyError.domain, [
      { field: 'page.page_token', description: 'is not a token of this service' },
    ]);
  return {
    stream: stream && { domain: stream.domain, cluster: stream.cluster },
    verdict,
    fromMs: range?.start && timeOf(range.start),
    beforeMs: range?.end && timeOf(range.end),
    after: proofId === undefined ? undefined : { issuedAtMs: Number(issuedAtMs), proofId },
    limit: page?.pageSize ?? PAGE_SIZE,
  };
}

/** A time in ms; one that no proof can have is held to what SQL can. */
function timeOf(time: Timestamp): number {
  return Math.max(-TIME_MAX_MS, Math.min(TIME_MAX_MS, timestampMs(time)));
}
