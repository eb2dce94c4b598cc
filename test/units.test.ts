import { describe, expect, test } from '@jest/globals';
import { energyUnit, ratioFactor } from '../src/units.ts';

describe('units', () => {
  test('energies and powers are told apart and converted', () => {
    expect(energyUnit('kW.h')).toEqual({ quantity: 'energy', joules: 3.6e6 });
    expect(energyUnit('kWh')).toEqual(energyUnit('kW.h'));
    expect(energyUnit('J')).toEqual({ quantity: 'energy', joules: 1 });
    expect(energyUnit('MW')).toEqual({ quantity: 'power', watts: 1e6 });
    for (const other of ['1', '%', 'By', 'mW', 'w', '']) expect(energyUnit(other)).toBeUndefined();
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
