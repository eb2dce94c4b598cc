/**
 * Reading what is to be proven: the rules that reach across the fields of a request (the edge has checked each alone),
 * and its maps as cells. What is not said there is not checked.
 */
import { timestampMs } from '@bufbuild/protobuf/wkt';
import { type FieldViolation, fieldError } from '../../errors.ts';
import { BudgetMode } from '../../gen/homeostat/energy/v1/energy_service_pb.ts';
import type {
  ProofBudget,
  ProofContext,
  ProveClaimRequest,
  ProvePredictionRequest,
} from '../../gen/homeostat/energy/v1/proof_service_pb.ts';
import type { Grid, MapInput } from '../../gen/homeostat/type/v1/grid_pb.ts';
import { energyError } from '../errors.ts';
import type { BudgetRule } from '../map/budget.ts';
import { type GivenMap, readMapInput } from '../map/map-input.ts';
import type { StreamName } from '../map/map-message.ts';
import { applyNegativeRule } from '../map/negative-policy.ts';
import type { Budget, Evidence } from './measure.ts';
import type { SubmitterSignature } from './provenance.ts';

/** What is told of the map observed, its cells computed with after its negative policy. */
export interface Told {
  readonly map: GivenMap;
  readonly budget: Budget | undefined;
  /** The earlier map as given. */
  readonly before: Float32Array | undefined;
  readonly said: Pick<Evidence, 'bounds' | 'claimedTotal' | 'claimedEntropy'>;
  readonly stream: StreamName | undefined;
  readonly capturedAtMs: number;
  readonly nonce: Uint8Array;
  readonly claimedDigest: Uint8Array | undefined;
  readonly signature: SubmitterSignature | undefined;
  readonly parentProofId: string | undefined;
}

export interface PredictionTold extends Told {
  /** The cells predicted; undefined where a forecast of the server is to be proven. */
  readonly predicted: Float32Array | undefined;
}

/** Times that a Date can hold, ms to either side of 1970. */
export const TIME_MAX_MS = 8.64e15;

const RULES: Readonly<Record<BudgetMode, BudgetRule>> = {
  [BudgetMode.UNSPECIFIED]: 'CONSERVATIVE',
  [BudgetMode.CONSERVATIVE]: 'CONSERVATIVE',
  [BudgetMode.DISSIPATIVE]: 'DISSIPATIVE',
  [BudgetMode.DRIVEN]: 'DRIVEN',
};

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
  const cells = told && predicted && readCells(observed!, predicted, told.map, 'predicted', violations);
  if (told === undefined || violations.length > 0) throw fieldError(energyError.domain, violations);
  return { ...told, predicted: cells };
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
  const before = budget?.before && readCells(input!, budget.before, map, 'context.budget.before', violations);
  const { least, greatest } = bounds ?? {};
  return {
    map,
    before,
    budget: budget && before && readBudget(input!, budget, map, before, violations),
    said: {
      ...((least !== undefined || greatest !== undefined) && {
        bounds: { least: least ?? Number.NEGATIVE_INFINITY, greatest: greatest ?? Number.POSITIVE_INFINITY },
      }),
      claimedTotal: context.claimedTotal,
      claimedEntropy: context.claimedEntropy,
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
  given: Float32Array,
  violations: FieldViolation[],
): Budget | undefined {
  const rule = RULES[budget.mode] ?? 'CONSERVATIVE';
  if (rule === 'CONSERVATIVE') {
    const powers = {
      sources_watts: budget.sourcesWatts,
      sinks_watts: budget.sinksWatts,
      boundary_flux_watts: budget.boundaryFluxWatts ?? 0,
    };
    for (const [field, watts] of Object.entries(powers))
      if (watts !== 0)
        violations.push({
          field: `context.budget.${field}`,
          description: 'must be 0 in a conservative budget',
        });
  }
  const inflow = readFlow(input, budget.inflow, map, 'context.budget.inflow', violations);
  const outflow = readFlow(input, budget.outflow, map, 'context.budget.outflow', violations);
  if ((budget.inflow === undefined) !== (budget.outflow === undefined))
    violations.push({ field: 'context.budget.inflow', description: 'goes together with outflow' });
  const before = new Float64Array(given);
  applyPolicy(before, map);
  return {
    before,
    rule,
    dt: budget.dtSeconds ?? 1,
    sources: budget.sourcesWatts,
    sinks: budget.sinksWatts,
    boundaryFlux: budget.boundaryFluxWatts,
    flows: inflow && outflow && { inflow, outflow },
  };
}

function readFlow(
  input: MapInput,
  grid: Grid | undefined,
  map: GivenMap,
  path: string,
  violations: FieldViolation[],
): Float64Array | undefined {
  const cells = grid && readCells(input, grid, map, path, violations);
  const negative = cells?.findIndex((watts) => watts < 0) ?? -1;
  if (negative >= 0)
    violations.push({ field: path, description: `must be at least 0, cell ${negative} is not` });
  return cells && new Float64Array(cells);
}

/** Cells of a grid that goes with the map observed. */
function readCells(
  input: MapInput,
  grid: Grid,
  map: GivenMap,
  path: string,
  violations: FieldViolation[],
): Float32Array | undefined {
  const own: FieldViolation[] = [];
  const read = readMapInput({ ...input, grid, observed: new Uint8Array(0) }, path, own);
  for (const { field, description } of own)
    violations.push({ field: field.replace(`${path}.grid`, path), description });
  if (read) requireShape(read.field, map);
  return read?.cells;
}

/** Applies the negative policy of the map observed, over its observed cells. */
function applyPolicy(cells: Float64Array, { field, negativeRule }: GivenMap): void {
  const cell = applyNegativeRule(cells, field.observed, negativeRule);
  if (cell !== undefined) throw energyError('NEGATIVE_ENERGY', { cell });
}
