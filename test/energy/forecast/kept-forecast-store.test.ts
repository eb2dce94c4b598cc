/** What a stream's kept forecasts may take of the disk; on both databases. */
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { energyMigrations } from '../../../src/energy/context.ts';
import {
  findForecast,
  forecastIdOf,
  forecastsMax,
  type KeptForecast,
  keepForecast,
  scoreForecast,
} from '../../../src/energy/forecast/kept-forecast-store.ts';
import type { Store } from '../../../src/store/store.ts';
import { describeOnStores, type TestDatabase } from '../../support/stores.ts';

const WINDOW_MS = 10_000;
const NOW_MS = Date.UTC(2026, 0, 1);
const LAB = { domain: 'lab', cluster: 'a' };
const OTHER = { domain: 'lab', cluster: 'b' };

function forecastOf(stream: KeptForecast['stream'], window: number): KeptForecast {
  const cells = () => Float32Array.of(window, 1, 2, 3);
  return {
    forecastId: forecastIdOf(stream, window * WINDOW_MS, 1, ''),
    stream,
    modelVersion: 1,
    horizon: 1,
    coverage: 0.9,
    targetStartMs: (window + 1) * WINDOW_MS,
    targetEndMs: (window + 2) * WINDOW_MS,
    rows: 2,
    cols: 2,
    prediction: cells(),
    lower: cells(),
    upper: cells(),
  };
}

describeOnStores('energy.forecast kept forecasts', (engine) => {
  let database: TestDatabase;
  let store: Store;
  beforeAll(async () => {
    database = await engine.createDatabase();
    store = await database.open(energyMigrations);
  });
  afterAll(() => database.dispose());

  /** The windows of those that are still there. */
  const held = async (stream: KeptForecast['stream'], windows: number) => {
    const found: number[] = [];
    for (let window = 0; window < windows; window++)
      if (await findForecast(store, forecastOf(stream, window).forecastId)) found.push(window);
    return found;
  };

  test('fill the room of their stream and no more: the oldest that nobody scored goes first', async () => {
    const keep = (stream: KeptForecast['stream'], window: number) =>
      keepForecast(store, forecastOf(stream, window), NOW_MS, 6);
    await keep(OTHER, 0);
    for (let window = 0; window < 6; window++) await keep(LAB, window);
    expect(await held(LAB, 6)).toEqual([0, 1, 2, 3, 4, 5]);
    for (const window of [0, 3]) {
      const { forecastId } = forecastOf(LAB, window);
      await store.transact((tx) => scoreForecast(tx, forecastId, { vrmse: 0, covered: 1 }, NOW_MS));
    }
    for (let window = 6; window < 9; window++) await keep(LAB, window);
    expect(await held(LAB, 9)).toEqual([0, 3, 5, 6, 7, 8]);
    // The newest stays, whichever window it is of; what is scored goes when there is nothing else.
    await keep(LAB, 2);
    expect(await held(LAB, 9)).toEqual([0, 2, 3, 6, 7, 8]);
    await keepForecast(store, forecastOf(LAB, 9), NOW_MS, 2);
    expect(await held(LAB, 10)).toEqual([3, 9]);
    expect(await held(OTHER, 1)).toEqual([0]);
  });
});

test('energy.forecast the room of a stream is 256 MiB of forecasts of any size', () => {
  expect([1, 341, 64 * 64, 256 * 256].map(forecastsMax)).toEqual([65_536, 65_536, 5_461, 341]);
});
