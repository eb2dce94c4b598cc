/** The part of a stream's configuration that its forecasts follow. */
import {
  BudgetMode,
  Seasonality as Choice,
  type StreamConfig,
} from '../../gen/homeostat/energy/v1/energy_service_pb.ts';
import type { BoundaryRule } from '../../numeric/stencil.ts';
import { boundaryRule } from '../map/map-input.ts';
import type { Seasonality } from './predictor.ts';

/** What a stream's maps are forecast by, beside what was learned. */
export interface ForecastSettings {
  readonly boundary: BoundaryRule;
  /** Whether forecasts keep the total of the map they start from. */
  readonly conserves: boolean;
  /** The season looked for; snapshots from before there was a choice have none, which is HOUR_OF_DAY. */
  readonly seasonality?: Seasonality;
}

/** A budget that is not declared CONSERVATIVE promises no total. */
export function forecastSettings({ boundary, budgetMode, seasonality }: StreamConfig): ForecastSettings {
  return {
    boundary: boundaryRule(boundary),
    conserves: budgetMode === BudgetMode.CONSERVATIVE,
    seasonality: seasonality === Choice.NONE ? 'NONE' : 'HOUR_OF_DAY',
  };
}
