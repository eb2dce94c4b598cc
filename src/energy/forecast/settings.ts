/** The part of a stream's configuration that its forecasts follow. */
import { BudgetMode, type StreamConfig } from '../../gen/homeostat/energy/v1/energy_service_pb.ts';
import { boundaryRule } from '../map/map-input.ts';
import type { ForecastSettings } from './forecast-store.ts';

/** A budget that is not declared CONSERVATIVE promises no total. */
export function forecastSettings({ boundary, budgetMode }: StreamConfig): ForecastSettings {
  return { boundary: boundaryRule(boundary), conserves: budgetMode === BudgetMode.CONSERVATIVE };
}
