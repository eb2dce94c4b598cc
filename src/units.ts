/** Units that telemetry metrics come in, in UCUM notation, and what they are worth in joules or watts. */

/** Joules in one of the unit; only energies are listed. */
const JOULES: Readonly<Record<string, number>> = {
  J: 1,
  kJ: 1e3,
  MJ: 1e6,
  'W.h': 3600,
  Wh: 3600,
  'kW.h': 3.6e6,
  kWh: 3.6e6,
};

/** Watts in one of the unit; only powers are listed. */
const WATTS: Readonly<Record<string, number>> = { W: 1, kW: 1e3, MW: 1e6 };

/** How a unit becomes joules: an energy by a factor, a power by a factor and integration over time. */
export type EnergyUnit =
  | { readonly quantity: 'energy'; readonly joules: number }
  | { readonly quantity: 'power'; readonly watts: number };

/** What a metric's unit says about energy; undefined for any other unit. */
export function energyUnit(unit: string): EnergyUnit | undefined {
  const joules = JOULES[unit];
  if (joules !== undefined) return { quantity: 'energy', joules };
  const watts = WATTS[unit];
  return watts === undefined ? undefined : { quantity: 'power', watts };
}

/** Factor to a ratio of 1: units `1` and `%`; undefined for any other unit. */
export function ratioFactor(unit: string): number | undefined {
  if (unit === '1' || unit === '') return 1;
  return unit === '%' ? 0.01 : undefined;
}
