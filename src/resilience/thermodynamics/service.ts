/**
 * ThermodynamicsService: series of a request assessed on the worker pool, and the stored assessments of cells. Defaults
 * and ranges are those the contract states. How much one request may compute, and how many wait, is bounded here.
 */
import { durationMs } from '@bufbuild/protobuf/wkt';
import type { Clock } from '../../clock.ts';
import { type AppError, type FieldViolation, fieldError } from '../../errors.ts';
import { PhaseSeverity } from '../../gen/homeostat/resilience/v1/resilience_service_pb.ts';
import {
  type AssessPhaseRiskRequest,
  Detrending,
  Direction,
  type Series as SeriesMessage,
  ThermodynamicsService,
} from '../../gen/homeostat/resilience/v1/thermodynamics_service_pb.ts';
import { WorkersBusyError } from '../../numeric/worker-pool.ts';
import { type Handlers, type ServiceBinding, serviceBinding } from '../../rpc/handler.ts';
import { parsePlace, parseScope } from '../cells/scope.ts';
import {
  type AssessmentOptions,
  assess,
  FAMILIES,
  type RiskSeverity,
  type RunMetric,
} from '../early-warning/assessment.ts';
import { drawsMax } from '../early-warning/metric-assessment.ts';
import type { Series } from '../early-warning/series.ts';
import { severityRank } from '../early-warning/severity.ts';
import { resilienceError } from '../errors.ts';
import type { HealthBoard } from '../health.ts';
import { assessmentToProto, NOT_COVERED } from '../phase-risk/assessment-message.ts';
import type { RiskStore } from '../phase-risk/store.ts';

/** What the handlers need. */
export interface ThermodynamicsDeps {
  readonly board: HealthBoard;
  readonly table: RiskStore;
  readonly clock: Clock;
  readonly run: RunMetric;
  /** Whether stored assessments have been read. */
  readonly running: () => boolean;
}

const INTERVAL_MS = 60_000;
const SURROGATES = 199;
const ALPHA = 0.05;
const BANDWIDTH = 0.2;
const ROLLING = 0.5;
const HOURS = 24;
const HOUR_MS = 3_600_000;
const PAGE_SIZE = 50;
/** Multiply-adds one request may ask for: some three minutes of one thread if every test of it alarms, else seconds. */
const WORK_MAX = 2 ** 36;
/** What detrending and testing one value of one surrogate takes, multiply-adds; measured, LOWESS on top. */
const WORK_PER_VALUE = 100;
/** Fits of LOWESS: the first and three robust ones. */
const LOWESS_FITS = 4;
/** When a request that found the workers busy may try again. */
const RETRY_MS = 1_000;
/** Series of all requests that may wait for the workers. */
const WAITING_MAX = 200;

const SEVERITIES = ['NORMAL', 'ELEVATED', 'HIGH', 'CRITICAL', 'IMMINENT', 'UNKNOWN'] as const;

const DETRENDING: Readonly<Record<Detrending, AssessmentOptions['detrend']>> = {
  [Detrending.UNSPECIFIED]: 'GAUSSIAN',
  [Detrending.GAUSSIAN]: 'GAUSSIAN',
  [Detrending.LOWESS]: 'LOWESS',
  [Detrending.NONE]: 'NONE',
};

/** The service with its handlers. Errors: FIELD_INVALID, CELL_NOT_FOUND, WORKERS_BUSY, WORK_TOO_LARGE. */
export function createThermodynamicsService(deps: ThermodynamicsDeps): ServiceBinding {
  const { board, table, clock, run } = deps;
  let waiting = 0;

  const assessGiven = async (request: AssessPhaseRiskRequest, signal: AbortSignal) => {
    const options = optionsOf(request);
    const series = readSeries(request.series);
    refuseLargeWork(series, options);
    if (waiting + series.length > WAITING_MAX) throw workersBusy();
    waiting += series.length;
    try {
      const found = await assess(series, options, run, undefined, signal);
      return assessmentToProto(found, { source: 'request', seed: options.seed });
    } catch (error) {
      if (error instanceof WorkersBusyError) throw workersBusy();
      throw error;
    } finally {
      waiting -= series.length;
    }
  };
  const latest = async (request: AssessPhaseRiskRequest) => {
    const scope = parseScope(request.scope) ?? leadingCell(board);
    if (scope && !board.health(scope)) throw resilienceError('CELL_NOT_FOUND', { ...scope });
    const found = scope && (await table.latestLook(scope));
    return found ?? { ...NOTHING_STORED, ...(scope && { scope }) };
  };

  const handlers: Handlers<typeof ThermodynamicsService> = {
    async assessPhaseRisk(request, call) {
      const isGiven = request.series.length > 0;
      return { assessment: isGiven ? await assessGiven(request, call.signal) : await latest(request) };
    },

    async listPhaseRiskHistory(request) {
      const size = request.page?.pageSize ?? PAGE_SIZE;
      const scope = parseScope(request.scope);
      const beforePlace = parsePlace(request.page?.pageToken);
      const found = await table.listLooks({
        ...(scope && { scope }),
        ...(request.severity !== PhaseSeverity.UNSPECIFIED && {
          severity: severityName(request.severity),
        }),
        recordedSinceMs: clock.nowMs() - (request.hours ?? HOURS) * HOUR_MS,
        ...(beforePlace !== undefined && { beforePlace }),
        limit: size + 1,
      });
      const looks = found.looks.slice(0, size);
      const last = found.looks.length > size ? looks.at(-1) : undefined;
      return {
        assessments: looks.map(({ assessment }) => assessment),
        count: found.count,
        nextPageToken: last ? String(last.place) : '',
      };
    },
  };
  return serviceBinding(ThermodynamicsService, handlers, () => (deps.running() ? [] : ['STARTING']));
}

const NOTHING_STORED = {
  overallSeverity: PhaseSeverity.UNKNOWN,
  lookSeverity: PhaseSeverity.UNKNOWN,
  why: 'no look was made yet',
  notCovered: [...NOT_COVERED],
};

/** The cell whose risk is the fleet's. */
function leadingCell(board: HealthBoard) {
  const going = board.fleet().cells.filter((cell) => !cell.ended);
  let leader = going[0];
  for (const cell of going)
    if (severityRank(cell.phaseRisk.severity) > severityRank(leader!.phaseRisk.severity)) leader = cell;
  return leader?.name;
}

/** A severity of the contract by its name. */
function severityName(severity: PhaseSeverity): RiskSeverity {
  return SEVERITIES.find((name) => PhaseSeverity[name] === severity)!;
}

function optionsOf(request: AssessPhaseRiskRequest): AssessmentOptions {
  return {
    surrogates: request.surrogates ?? SURROGATES,
    alpha: request.alpha ?? ALPHA,
    detrend: DETRENDING[request.detrend] ?? 'GAUSSIAN',
    bandwidth: request.bandwidth ?? BANDWIDTH,
    rolling: request.rolling ?? ROLLING,
    seed: Number(request.seed),
  };
}

/** The series of a request. Throws FIELD_INVALID for a name given twice and for places outside a series. */
function readSeries(given: readonly SeriesMessage[]): Series[] {
  const broken: FieldViolation[] = [];
  const names = new Set<string>();
  const series = given.map((one, index) => {
    if (names.has(one.name)) broken.push({ field: `series[${index}].name`, description: 'is given twice' });
    names.add(one.name);
    const values = Float64Array.from(one.values);
    for (const place of one.missing) {
      if (place < values.length) values[place] = Number.NaN;
      else
        broken.push({
          field: `series[${index}].missing`,
          description: `must be under ${values.length}, the number of values`,
        });
    }
    const direction = one.direction === Direction.HIGHER ? ('HIGHER' as const) : ('LOWER' as const);
    return {
      name: one.name,
      intervalMs: one.interval ? durationMs(one.interval) : INTERVAL_MS,
      values,
      ...(one.limit !== undefined && { limit: one.limit, direction }),
      ...(one.period && { periodsMs: [durationMs(one.period)] }),
    };
  });
  if (broken.length > 0) throw fieldError(resilienceError.domain, broken.slice(0, 16));
  return series;
}

function workersBusy(): AppError {
  return resilienceError('WORKERS_BUSY', {}, { retryAfterMs: RETRY_MS });
}

/** Throws WORK_TOO_LARGE, going by the surrogates it takes to be sure of an alarm among all tests of the request. */
function refuseLargeWork(series: readonly Series[], options: AssessmentOptions): void {
  const { surrogates, bandwidth, detrend } = options;
  const tests = FAMILIES * series.length;
  const draws = drawsMax(surrogates, tests);
  const neighbors = detrend === 'LOWESS' ? LOWESS_FITS * bandwidth : 0;
  let work = 0;
  for (const { values } of series)
    work += draws * values.length * (WORK_PER_VALUE + neighbors * values.length);
  if (work > WORK_MAX)
    throw resilienceError('WORK_TOO_LARGE', { work: Math.ceil(work), limit: WORK_MAX }, { retryAfterMs: -1 });
}
