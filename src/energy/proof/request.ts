/**
 * Reading what is to be proven: the rules that reach across the fields of a request (the edge has checked each alone),
 * and its maps as cells. What is not said there is not checked.
 */
import { timestampMs } from '@bufbuild/protobuf/wkt';
import { type FieldViolation, fieldError } from '../../errors.ts';
import type { BudgetMode } from '../../gen/homeostat/energy/v1/energy_service_pb.ts';
import type {
  ProofBudget,
  ProofContext,
  ProveClaimRequest,
  ProvePredictionRequest,
} from '../../gen/homeostat/energy/v1/proof_service_pb.ts';
import type { Grid, MapInput } from '../../gen/homeostat/type/v1/grid_pb.ts';
import { applyNegativeRule } from '../../numeric/negative-policy.ts';
import { energyError } from '../errors.ts';
import { budgetRule, powerViolations } from '../map/budget.ts';
import { type GivenMap, readGridLike, readMapInput } from '../map/map-input.ts';
import type { StreamName } from '../stream/stream-name.ts';
import type { Budget, Evidence } from './measure.ts';
import type { SubmitterSignature } from './provenance.ts';

/** A budget as it is told: by what rule it is judged is its stream's to say. */
export interface DeclaredBudget extends Omit<Budget, 'rule'> {
  readonly mode: BudgetMode;
}

/** What is told of the map observed, its cells computed with after its negative policy. */
export interface Told {
  readonly map: GivenMap;
  readonly budget: DeclaredBudget | undefined;
  /** The earlier map. */
  readonly before: GivenMap | undefined;
  readonly said: Pick<Evidence, 'bounds' | 'claimedTotal' | 'claimedEntropy'>;
  readonly stream: StreamName | undefined;
  readonly capturedAtMs: number;
  readonly nonce: Uint8Array;
  readonly claimedDigest: Uint8Array | undefined;
  readonly signature: SubmitterSignature | undefined;
  readonly parentProofId: string | undefined;
}

export interface PredictionTold extends Told {
  /** The map predicted; undefined where a forecast of the server is to be proven. */
  readonly predicted: GivenMap | undefined;
}

/** Times that a Date can hold, ms to either side of 1970. */
export const TIME_MAX_MS = 8.64e15;

/** Reads a claim. Throws FIELD_INVALID, SHAPE_MISMATCH and NEGATIVE_ENERGY. */
export function readClaim({ map, context }: ProveClaimRequest): Told {
  const violations: FieldViolation[] = [];
  const told = readContext(map, 'map', context!, violations);
  if (told === undefined || violations.length > 0) throw fieldError(energyError.domain, violations);
  return told;
}

/** Reads a prediction with what was observed. Throws as `readClaim`. */
export function readPrediction(request: ProvePredictionRequest): PredictionTold {
  const { observed, predicted, forecastId, context } = request;
  const violations: FieldViolation[] = [];
  if ((predicted === undefined) === (forecastId === ''))
    violations.push({ field: 'predicted', description: 'exactly one of it and forecast_id must be set' });
  const told = readContext(observed, 'observed', context!, violations);
  const map = told && predicted && readAlike(observed!, predicted, told.map, 'predicted', violations);
  if (told === undefined || violations.length > 0) throw fieldError(energyError.domain, violations);
  return { ...told, predicted: map };
}

/**
 * The budget by the rule its stream is configured with, or by its own where that promises nothing. A stream that is driven
 * or dissipative is never judged as a closed one, nor may powers be declared that a conservative one cannot have: a mode
 * other than the stream's is FIELD_INVALID, as are powers in a conservative budget.
 */
export function ruledBudget({ mode, ...budget }: DeclaredBudget, configured: BudgetMode): Budget {
  const violations: FieldViolation[] = [];
  if (configured && mode && mode !== configured)
    violations.push({
      field: 'context.budget.mode',
      description: `must be that of the stream, ${budgetRule(configured)}, or unset`,
    });
  const rule = budgetRule(configured || mode);
  const powers = {
    'context.budget.sources_watts': budget.sources,
    'context.budget.sinks_watts': budget.sinks,
    'context.budget.boundary_flux_watts': budget.boundaryFlux ?? 0,
  };
  violations.push(...powerViolations(rule, powers));
  if (violations.length > 0) throw fieldError(energyError.domain, violations);
  return { ...budget, rule };
}

/** Reads a map that a receipt is said to be of. Throws FIELD_INVALID. */
export function readMap(input: MapInput): GivenMap {
  const violations: FieldViolation[] = [];
  const map = readMapInput(input, 'map', violations);
  if (map === undefined) throw fieldError(energyError.domain, violations);
  return map;
}

/** Throws SHAPE_MISMATCH unless a map has the shape of the one observed. */
export function requireShape(
  shape: { readonly rows: number; readonly cols: number },
  { field }: GivenMap,
): void {
  if (shape.rows === field.rows && shape.cols === field.cols) return;
  throw energyError('SHAPE_MISMATCH', {
    before: `${shape.rows}x${shape.cols}`,
    after: `${field.rows}x${field.cols}`,
  });
}

function readContext(
  input: MapInput | undefined,
  path: string,
  context: ProofContext,
  violations: FieldViolation[],
): Told | undefined {
  const capturedAtMs = Math.floor(timestampMs(context.capturedAt!));
  if (!(Math.abs(capturedAtMs) <= TIME_MAX_MS))
    violations.push({ field: 'context.captured_at', description: 'must be a time' });
  const map = readMapInput(input, path, violations);
  if (map === undefined) return undefined;
  applyPolicy(map.field.cells, map);
  const { bounds, budget, stream, submitterSignature } = context;
  const before = budget?.before && readAlike(input!, budget.before, map, 'context.budget.before', violations);
  const { least, greatest } = bounds ?? {};
  const { claimedTotal, claimedEntropy } = context;
  return {
    map,
    before,
    budget: budget && before && readBudget(input!, budget, map, before, violations),
    said: {
      ...((least !== undefined || greatest !== undefined) && {
        bounds: {
          least: (least ?? Number.NEGATIVE_INFINITY) * map.factor,
          greatest: (greatest ?? Number.POSITIVE_INFINITY) * map.factor,
        },
      }),
      claimedTotal: claimedTotal === undefined ? undefined : claimedTotal * map.factor,
      claimedEntropy,
    },
    stream: stream && { domain: stream.domain, cluster: stream.cluster },
    capturedAtMs,
    nonce: context.nonce,
    claimedDigest: context.claimedDigest.length > 0 ? context.claimedDigest : undefined,
    signature: submitterSignature && {
      publicKey: submitterSignature.publicKey,
      signature: submitterSignature.signature,
    },
    parentProofId: context.parentProofId || undefined,
  };
}

function readBudget(
  input: MapInput,
  budget: ProofBudget,
  map: GivenMap,
  earlier: GivenMap,
  violations: FieldViolation[],
): DeclaredBudget | undefined {
  const inflow = readFlow(input, budget.inflow, map, 'context.budget.inflow', violations);
  const outflow = readFlow(input, budget.outflow, map, 'context.budget.outflow', violations);
  if ((budget.inflow === undefined) !== (budget.outflow === undefined))
    violations.push({ field: 'context.budget.inflow', description: 'goes together with outflow' });
  const before = earlier.field.cells;
  applyPolicy(before, map);
  return {
    before,
    mode: budget.mode,
    dt: budget.dtSeconds ?? 1,
    sources: budget.sourcesWatts,
    sinks: budget.sinksWatts,
    boundaryFlux: budget.boundaryFluxWatts,
    flows: inflow && outflow && { inflow, outflow },
  };
}

/** A grid of watts, whatever the unit of the map. */
function readFlow(
  input: MapInput,
  grid: Grid | undefined,
  map: GivenMap,
  path: string,
  violations: FieldViolation[],
): Float64Array | undefined {
  const cells = grid && readAlike({ ...input, unit: '' }, grid, map, path, violations)?.field.cells;
  const negative = cells?.findIndex((watts) => watts < 0) ?? -1;
  if (negative >= 0)
    violations.push({ field: path, description: `must be at least 0, cell ${negative} is not` });
  return cells;
}

/** A grid that goes with the map observed, of its unit. */
function readAlike(
  input: MapInput,
  grid: Grid,
  map: GivenMap,
  path: string,
  violations: FieldViolation[],
): GivenMap | undefined {
  const read = readGridLike(input, grid, path, violations);
  if (read) requireShape(read.field, map);
  return read;
}

/** Applies the negative policy of the map observed, over its observed cells. */
function applyPolicy(cells: Float64Array, { field, negativeRule }: GivenMap): void {
  const cell = applyNegativeRule(cells, field.observed, negativeRule);
  if (cell !== undefined) throw energyError('NEGATIVE_ENERGY', { cell });
}
