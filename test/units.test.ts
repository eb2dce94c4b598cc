import { describe, expect, test } from '@jest/globals';
import { cellUnit, energyUnit, ratioFactor } from '../src/units.ts';

describe('units', () => {
  test('energies and powers are told apart and converted', () => {
    expect(energyUnit('kW.h')).toEqual({ quantity: 'energy', joules: 3.6e6 });
    expect(energyUnit('kWh')).toEqual(energyUnit('kW.h'));
    expect(energyUnit('J')).toEqual({ quantity: 'energy', joules: 1 });
    expect(energyUnit('MW')).toEqual({ quantity: 'power', watts: 1e6 });
    for (const other of ['1', '%', 'By', 'mW', 'w', 'constructor', ''])
      expect(energyUnit(other)).toBeUndefined();
  });

  test('cells of maps are joules, or no energies', () => {
    const factors = { '': 1, J: 1, kJ: 1e3, MJ: 1e6, Wh: 3600, kWh: 3.6e6, MWh: 3.6e9 };
    for (const [unit, factor] of Object.entries(factors))
      expect(cellUnit(unit)).toEqual({ unit: 'J', factor });
    expect(cellUnit('1')).toEqual({ unit: '1', factor: 1 });
    for (const other of ['W', 'kW', '%', 'j', 'constructor']) expect(cellUnit(other)).toBeUndefined();
  });

  test('ratios are 1 and per cent', () => {
    expect([ratioFactor('1'), ratioFactor(''), ratioFactor('%'), ratioFactor('W')]).toEqual([
      1,
      1,
      0.01,
      undefined,
    ]);
  });
});
