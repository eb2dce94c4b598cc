/**
 * The computations on maps handed in: ComputeState and CheckConservation. Pure: the same request gives the same bits.
 * Large maps are computed in slices, so that no call holds the event loop for more than a few milliseconds at a time.
 */
import type { MessageInitShape } from '@bufbuild/protobuf';
import type { Clock } from '../../clock.ts';
import { type FieldViolation, fieldError } from '../../errors.ts';
import {
  type CheckConservationRequest,
  type CheckConservationResponseSchema,
  type ComputeStateRequest,
  type ComputeStateResponseSchema,
  type EnergyService,
  GradientKind,
} from '../../gen/homeostat/energy/v1/energy_service_pb.ts';
import type { Grid } from '../../gen/homeostat/type/v1/grid_pb.ts';
import type { GridEncoding } from '../../numeric/given-grid.ts';
import { applyNegativeRule } from '../../numeric/negative-policy.ts';
import { runInSlices, type Steps } from '../../numeric/slices.ts';
import type { GradientScheme } from '../../numeric/stencil.ts';
import type { Call, Handlers } from '../../rpc/handler.ts';
import { energyError, refuseLargeReply } from '../errors.ts';
import { type Budget, budgetRule, checkBudget, powerViolations } from './budget.ts';
import { digestSteps } from './digest.ts';
import { type GivenMap, readMapInput } from './map-input.ts';
import { gridToProto, stateToProto } from './map-message.ts';
import { type MapState, type StateInput, type StateOptions, stateOf, totalsSteps } from './state.ts';
import { createStatePlans, type StatePlan, type StatePlans } from './state-plan.ts';

export interface ComputeDeps {
  readonly clock: Clock;
  /** Longest time one computation holds the event loop, ms. */
  readonly sliceMs: number;
  /** Largest reply, bytes. */
  readonly sendBytesMax: number;
}

/** Room for everything in a reply that is no grid. */
const REPLY_BYTES_BASE = 4096;
const BINS = 64;
const RELATIVE_TOLERANCE = 1e-3;
/** Plans held between calls: 40 bytes a cell each, 40 MiB for the largest maps. */
const PLANS_KEPT = 4;

const SCHEMES: Readonly<Record<GradientKind, GradientScheme>> = {
  [GradientKind.UNSPECIFIED]: 'SOBEL',
  [GradientKind.SOBEL]: 'SOBEL',
  [GradientKind.CENTRAL2]: 'CENTRAL2',
  [GradientKind.CENTRAL4]: 'CENTRAL4',
};

export function createComputeHandlers(
  deps: ComputeDeps,
): Pick<Handlers<typeof EnergyService>, 'computeState' | 'checkConservation'> {
  const plans = createStatePlans(PLANS_KEPT);
  const run = <Result>(steps: Steps<Result>, call: Call) =>
    runInSlices(steps, { clock: deps.clock, sliceMs: deps.sliceMs, signal: call });

  return {
    computeState: (request, call) => run(computeStateSteps(request, plans, deps.sendBytesMax), call),
    checkConservation: (request, call) => run(checkConservationSteps(request, plans), call),
  };
}

function* computeStateSteps(
  request: ComputeStateRequest,
  plans: StatePlans,
  sendBytesMax: number,
): Steps<MessageInitShape<typeof ComputeStateResponseSchema>> {
  const { map, options } = parseComputeState(request);
  yield;
  const { rows, cols } = map.field;
  refuseLargeReply(replyBytes(request, rows * cols), sendBytesMax);
  refuseNegative(map);
  yield;
  const digest = yield* digestSteps(map.cells, rows, cols);
  return yield* plans.lend({ ...map.field, options, request, digest, encoding: map.encoding }, replyOf);
}

interface Asked extends StateInput {
  readonly request: ComputeStateRequest;
  readonly digest: Uint8Array;
  readonly encoding: GridEncoding;
}

function* replyOf(plan: StatePlan, asked: Asked): Steps<MessageInitShape<typeof ComputeStateResponseSchema>> {
  const { request, digest } = asked;
  const state = yield* stateOf(plan, asked);
  refuseOverflow(state);
  return {
    state: stateToProto(state, request.entropyUnit, request.map!.negativePolicy),
    digest,
    ...(request.includeWeights && { weights: yield* gridOf(plan.weights, asked) }),
    ...(request.includeGradient && {
      gradientRow: yield* gridOf(plan.gradientRow, asked),
      gradientCol: yield* gridOf(plan.gradientCol, asked),
      gradientMagnitude: yield* gridOf(plan.gradientMagnitude, asked),
    }),
  };
}

function* gridOf(cells: Float64Array, { rows, cols, encoding }: Asked): Steps<Grid> {
  yield;
  return gridToProto(cells, rows, cols, encoding);
}

function* checkConservationSteps(
  request: CheckConservationRequest,
  plans: StatePlans,
): Steps<MessageInitShape<typeof CheckConservationResponseSchema>> {
  const { before, after, budget } = parseCheckConservation(request);
  yield;
  refuseNegative(before);
  refuseNegative(after);
  const verdict = checkBudget(
    yield* totalsSteps(before.field, plans),
    yield* totalsSteps(after.field, plans),
    budget,
  );
  if (!Number.isFinite(verdict.residual + verdict.tolerance)) throw overflow('before');
  return {
    passed: verdict.passed,
    residualJoules: verdict.residual,
    toleranceJoules: verdict.tolerance,
    fidelity: verdict.fidelity,
    ...(verdict.entropyChange !== undefined && { entropyChange: verdict.entropyChange }),
    reasons: [...verdict.reasons],
  };
}

function parseComputeState(request: ComputeStateRequest): { map: GivenMap; options: StateOptions } {
  const violations: FieldViolation[] = [];
  const map = readMapInput(request.map, 'map', violations);
  const [lower, upper] = request.binEdges;
  const isRange = lower !== undefined && upper !== undefined && lower < upper;
  if (request.binEdges.length > 0 && !isRange)
    violations.push({ field: 'bin_edges', description: 'must be two rising numbers, or none' });
  if (map === undefined || violations.length > 0) throw fieldError(energyError.domain, violations);
  return {
    map,
    options: {
      temperature: request.temperature ?? 1,
      scheme: SCHEMES[request.gradient] ?? 'SOBEL',
      bins: request.bins ?? BINS,
      edges: isRange ? [lower, upper] : undefined,
    },
  };
}

function parseCheckConservation(request: CheckConservationRequest) {
  const violations: FieldViolation[] = [];
  const before = readMapInput(request.before, 'before', violations);
  const after = readMapInput(request.after, 'after', violations);
  const rule = budgetRule(request.mode);
  const powers = {
    sources_watts: request.sourcesWatts,
    sinks_watts: request.sinksWatts,
    boundary_flux_watts: request.boundaryFluxWatts,
  };
  violations.push(...powerViolations(rule, powers));
  if (before && after && before.unit !== after.unit) {
    const description =
      before.unit === '1' ? 'must be 1, as before.unit is' : 'must be an energy, as before is';
    violations.push({ field: 'after.unit', description });
  }
  if (before && after && before.field.cellArea !== after.field.cellArea)
    violations.push({ field: 'after.cell_area', description: 'must be that of before' });
  if (!before || !after || violations.length > 0) throw fieldError(energyError.domain, violations);
  if (!sameCells(before, after))
    throw energyError('SHAPE_MISMATCH', { before: describeCells(before), after: describeCells(after) });
  const budget: Budget = {
    rule,
    dt: request.dtSeconds ?? 1,
    netPower: request.sourcesWatts - request.sinksWatts + request.boundaryFluxWatts,
    absoluteTolerance: request.atolJoules,
    relativeTolerance: request.rtol ?? RELATIVE_TOLERANCE,
  };
  return { before, after, budget };
}

function sameCells(a: GivenMap, b: GivenMap): boolean {
  if (a.field.rows !== b.field.rows || a.field.cols !== b.field.cols) return false;
  const [own, other] = [a.field.observed, b.field.observed];
  if (own === undefined || other === undefined) return own === other;
  return own.every((bit, at) => bit === other[at]);
}

function describeCells({ field }: GivenMap): string {
  const count = field.observed?.reduce((sum, bit) => sum + bit, 0) ?? field.cells.length;
  return `${field.rows}x${field.cols} with ${count} observed`;
}

function replyBytes(request: ComputeStateRequest, cells: number): number {
  const grids = (request.includeWeights ? 1 : 0) + (request.includeGradient ? 3 : 0);
  return REPLY_BYTES_BASE + grids * 4 * cells;
}

/** Applies the map's negative policy to the cells computed with. */
function refuseNegative(map: GivenMap): void {
  const cell = applyNegativeRule(map.field.cells, map.field.observed, map.negativeRule);
  if (cell !== undefined) throw energyError('NEGATIVE_ENERGY', { cell });
}

/** Finite cells can still leave the range of doubles, or of a reply's floats, with an extreme area, spacing or temperature. */
function refuseOverflow({ totals, boltzmann, mean, variance, gradientMax }: MapState): void {
  const slopes = Math.fround(gradientMax);
  const sums = [totals.net, totals.absolute, mean, variance, slopes];
  const ensemble = boltzmann
    ? [boltzmann.logPartition, boltzmann.internalEnergy, boltzmann.heatCapacity]
    : [];
  if (![...sums, ...ensemble].every(Number.isFinite)) throw overflow('map');
}

function overflow(field: string) {
  const description = 'its state is not finite with this cell area, spacing and temperature';
  return fieldError(energyError.domain, [{ field, description }]);
}
