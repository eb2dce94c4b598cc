/**
 * Classify: the regime of a stream, or of maps handed in. A stream's is what was judged of its newest map; maps handed in
 * are judged in slices.
 */
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import type { Clock } from '../../clock.ts';
import { type FieldViolation, fieldError } from '../../errors.ts';
import type {
  ClassifyRequest,
  ClassifyResponseSchema,
  EnergyService,
} from '../../gen/homeostat/energy/v1/energy_service_pb.ts';
import { MapInputSchema } from '../../gen/homeostat/type/v1/grid_pb.ts';
import { runInSlices } from '../../numeric/slices.ts';
import type { Handlers } from '../../rpc/handler.ts';
import { energyError } from '../errors.ts';
import { readGridLike } from '../map/map-input.ts';
import { createStatePlans } from '../map/state-plan.ts';
import type { StreamName } from '../stream/stream-name.ts';
import { createMapTools, type GivenCells, judgeMapsSteps } from './judge-maps.ts';
import type { RegimeJudgement } from './regime.ts';
import { basisToProto, posteriorToProto, regimeToProto } from './regime-message.ts';
import { REGIME_MODEL_VERSION } from './regime-model.ts';
import type { RegimeTracker } from './regime-tracker.ts';

export interface RegimeDeps {
  readonly clock: Clock;
  /** Longest time one computation holds the event loop, ms. */
  readonly sliceMs: number;
  /** Throws STREAM_NOT_FOUND for a stream nobody has seen. */
  readonly requireStream: (stream: StreamName) => Promise<unknown>;
  /** Lends the regime of a stream to some work, while no batch changes it. */
  readonly withStream: <Result>(
    stream: StreamName,
    work: (live: { readonly regime: RegimeTracker }) => Promise<Result>,
  ) => Promise<Result>;
}

/** Plans held between calls: 40 bytes a cell each. */
const PLANS_KEPT = 2;
/** Cells of all maps of one request: what is held in memory at once. */
const CELLS_MAX = 2 ** 24;

type Response = MessageInitShape<typeof ClassifyResponseSchema>;

export function createRegimeHandlers(deps: RegimeDeps): Pick<Handlers<typeof EnergyService>, 'classify'> {
  const tools = createMapTools(createStatePlans(PLANS_KEPT));
  return {
    async classify(request, call) {
      if ((request.stream === undefined) === (request.maps.length === 0))
        throw invalid([{ field: 'maps', description: 'or stream must be set, and only one of them' }]);
      if (request.stream) {
        const { domain, cluster } = request.stream;
        const stream = { domain, cluster };
        await deps.requireStream(stream);
        return deps.withStream(stream, async ({ regime }) => {
          const { onsetMs, sinceOnsetMs } = regime.latest;
          return {
            ...toProto(regime.latest),
            ...(onsetMs !== undefined && { onset: timestampFromMs(onsetMs) }),
            ...(sinceOnsetMs !== undefined && { secondsSinceOnset: sinceOnsetMs / 1000 }),
          };
        });
      }
      const maps = readMaps(request);
      const steps = judgeMapsSteps(maps, tools);
      const judged = await runInSlices(steps, {
        clock: deps.clock,
        sliceMs: deps.sliceMs,
        signal: call.signal,
      });
      const { onsetMs: onsetMap, sinceOnsetMs: since } = judged;
      return {
        ...toProto(judged),
        ...(onsetMap !== undefined && { onsetMap }),
        ...(since !== undefined && { secondsSinceOnset: since * (request.dtSeconds ?? 1) }),
      };
    },
  };
}

function toProto(judged: RegimeJudgement): Response {
  return {
    regime: regimeToProto(judged.label),
    posterior: posteriorToProto(judged.posterior),
    features: judged.features.map((feature) => ({ ...feature })),
    basis: basisToProto(judged.basis),
    ...(judged.sinceAlarm !== undefined && { windowsSinceAlarm: judged.sinceAlarm }),
    modelVersion: REGIME_MODEL_VERSION,
    mapCount: judged.windows,
  };
}

/** The maps of a request as cells. FIELD_INVALID, SHAPE_MISMATCH, WORK_TOO_LARGE. */
function readMaps(request: ClassifyRequest): readonly GivenCells[] {
  const asked = request.maps.reduce((sum, { rows, cols }) => sum + rows * cols, 0);
  if (asked > CELLS_MAX)
    throw energyError('WORK_TOO_LARGE', { limit: CELLS_MAX, asked, unit: 'cells' }, { retryAfterMs: -1 });
  const violations: FieldViolation[] = [];
  const maps: GivenCells[] = [];
  for (const [at, grid] of request.maps.entries()) {
    const read = readGridLike(create(MapInputSchema), grid, `maps[${at}]`, violations);
    if (read === undefined) continue;
    const { rows, cols, cells } = read.field;
    const [first] = maps;
    if (first && (first.rows !== rows || first.cols !== cols))
      throw energyError('SHAPE_MISMATCH', {
        before: `${first.rows}x${first.cols}`,
        after: `${rows}x${cols}`,
      });
    maps.push({ rows, cols, cells });
  }
  if (violations.length > 0) throw invalid(violations);
  return maps;
}

function invalid(violations: readonly FieldViolation[]) {
  return fieldError(energyError.domain, violations);
}
