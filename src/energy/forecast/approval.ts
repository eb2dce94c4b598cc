/** Whether a forecast may be acted on: what speaks against it. Pure. */
import { ForecastBasis, ForecastRefusal } from '../../gen/homeostat/energy/v1/energy_service_pb.ts';
import { REGIMES } from '../regime/regime.ts';
import { COVERAGES } from './interval.ts';
import type { HorizonScore } from './score.ts';

const SCORES_MIN = 64;
const COVERAGE_ERROR_MAX = 0.05;
const EQUILIBRIUM_MIN = 0.5;
const EQUILIBRIUM = REGIMES.indexOf('EQUILIBRIUM');

/** What is known of a forecast beside its cells. */
export interface Evidence {
  readonly basis: ForecastBasis;
  /** Of the five regimes, in their order. */
  readonly posterior: readonly number[];
  /** How forecasts of this horizon did. */
  readonly score: HorizonScore;
  /** 1 - mean squared error over that of persistence. */
  readonly skill: number;
  /** Stated coverage of the interval. */
  readonly coverage: number;
  /** Share of cells that intervals of each followed coverage held; undefined before the first. */
  readonly covered: readonly number[] | undefined;
}

/** Everything that speaks against a forecast, in the order of the contract; empty when it is approved. */
export function refusalsOf(evidence: Evidence): ForecastRefusal[] {
  const { basis, posterior, score, skill, coverage, covered } = evidence;
  const failed: readonly (readonly [boolean, ForecastRefusal])[] = [
    [basis === ForecastBasis.PERSISTENCE_ONLY, ForecastRefusal.PERSISTENCE_ONLY],
    [!(posterior[EQUILIBRIUM]! > EQUILIBRIUM_MIN), ForecastRefusal.NOT_EQUILIBRIUM],
    [score.count < SCORES_MIN, ForecastRefusal.FEW_SCORES],
    [!(Math.abs(coverageError(coverage, covered)) <= COVERAGE_ERROR_MAX), ForecastRefusal.COVERAGE],
    [score.count > 0 && skill < 0, ForecastRefusal.NO_SKILL],
  ];
  return failed.flatMap(([isFailed, refusal]) => (isFailed ? [refusal] : []));
}

/** Observed less stated share inside; between two followed coverages their errors are blended. NaN while none is known. */
function coverageError(coverage: number, covered: readonly number[] | undefined): number {
  if (covered === undefined) return Number.NaN;
  const error = (at: number) => covered[at]! - COVERAGES[at]!;
  const above = COVERAGES.findIndex((each) => each >= coverage);
  if (above <= 0) return error(above === 0 ? 0 : COVERAGES.length - 1);
  const [low, high] = [COVERAGES[above - 1]!, COVERAGES[above]!];
  const share = (coverage - low) / (high - low);
  return (1 - share) * error(above - 1) + share * error(above);
}
