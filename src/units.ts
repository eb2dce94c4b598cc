/** Units that telemetry metrics and maps come in, in UCUM notation or as usual, and what they are worth in joules or watts. */

/** Joules in one of the unit; only energies are listed. */
const JOULES: ReadonlyMap<string, number> = new Map([
  ['J', 1],
  ['kJ', 1e3],
  ['MJ', 1e6],
  ['W.h', 3600],
  ['Wh', 3600],
  ['kW.h', 3.6e6],
  ['kWh', 3.6e6],
  ['MW.h', 3.6e9],
  ['MWh', 3.6e9],
]);

/** Watts in one of the unit; only powers are listed. */
const WATTS: ReadonlyMap<string, number> = new Map([
  ['W', 1],
  ['kW', 1e3],
  ['MW', 1e6],
]);

/** How a unit becomes joules: an energy by a factor, a power by a factor and integration over time. */
export type EnergyUnit =
  | { readonly quantity: 'energy'; readonly joules: number }
  | { readonly quantity: 'power'; readonly watts: number };

/** What a metric's unit says about energy; undefined for any other unit. */
export function energyUnit(unit: string): EnergyUnit | undefined {
  const joules = JOULES.get(unit);
  if (joules !== undefined) return { quantity: 'energy', joules };
  const watts = WATTS.get(unit);
  return watts === undefined ? undefined : { quantity: 'power', watts };
}

/** What the cells of a map are read as: joules, or numbers that are no energies; a cell as given times `factor` is one. */
export interface CellUnit {
  readonly unit: 'J' | '1';
  readonly factor: number;
}

/** How the cells of a map given in a unit are read; empty is J. Undefined for what is neither an energy nor `1`. */
export function cellUnit(unit: string): CellUnit | undefined {
  if (unit === '1') return { unit, factor: 1 };
  const factor = JOULES.get(unit || 'J');
  return factor === undefined ? undefined : { unit: 'J', factor };
}

/** Factor to a ratio of 1: units `1` and `%`; undefined for any other unit. */
export function ratioFactor(unit: string): number | undefined {
  if (unit === '1' || unit === '') return 1;
  return unit === '%' ? 0.01 : undefined;
}
