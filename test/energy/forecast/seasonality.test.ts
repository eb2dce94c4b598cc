/** A season that is looked for or not: what forecasts say, what stays learned, and what a restart keeps of either. */
import { create } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import { expect, test } from '@jest/globals';
import { systemClock } from '../../../src/clock.ts';
import { energyMigrations } from '../../../src/energy/context.ts';
import { createForecastHandlers } from '../../../src/energy/forecast/forecast-service.ts';
import { forecastSettings } from '../../../src/energy/forecast/settings.ts';
import { createMapIngest } from '../../../src/energy/ingest.ts';
import { createMapStore } from '../../../src/energy/map-store.ts';
import { createStreamStore } from '../../../src/energy/store.ts';
import { createMapFeed } from '../../../src/energy/watch.ts';
import {
  PredictorKind,
  PredictRequestSchema,
  PredictResponseSchema,
  Seasonality,
  StreamConfigSchema,
} from '../../../src/gen/homeostat/energy/v1/energy_service_pb.ts';
import type { Store } from '../../../src/store/store.ts';
import { callOf } from '../../support/calls.ts';
import { createFakeClock } from '../../support/fake-clock.ts';
import { describeOnStores } from '../../support/stores.ts';
import { CONFIG } from '../support/energy-world.ts';
import { closedWindow, START_MS, STREAM } from '../support/windows.ts';

/** A window; eight are a day. */
const WIDTH_S = 3 * 3_600;
const DAY = 8;
const [LOW, HIGH] = [10 * WIDTH_S, 30 * WIDTH_S];
const WINDOWS = 8 * DAY;
const END = WINDOWS + 3 * DAY;

/** One node, which takes 10 W in the first half of the day and 30 W in the second. */
function windowAt(at: number) {
  const mean = at % DAY < DAY / 2 ? 10 : 30;
  const reading = { mean, integral: mean * WIDTH_S, coveredSeconds: WIDTH_S };
  const window = closedWindow({ at: 0, nodes: { a: { power: reading } }, metrics: { power: { unit: 'W' } } });
  window.start = timestampFromMs(START_MS + at * 1_000 * WIDTH_S);
  window.end = timestampFromMs(START_MS + (at + 1) * 1_000 * WIDTH_S);
  return window;
}

const windows = (from: number, to: number) => Array.from({ length: to - from }, (_, n) => windowAt(from + n));

function openServer(store: Store, snapshotWindows: number) {
  const streams = createStreamStore(store);
  const clock = { ...createFakeClock(), monotonicMs: systemClock.monotonicMs };
  const shared = { clock, store, sliceMs: 4 };
  const ingest = createMapIngest({
    ...shared,
    streams,
    maps: createMapStore(store),
    bus: { record: async () => undefined },
    feed: createMapFeed(4),
    defaults: CONFIG,
    snapshotWindows,
  });
  const { predict } = createForecastHandlers({
    ...shared,
    sendBytesMax: CONFIG.sendBytesMax,
    withStream: ingest.withStream,
    requireStream: async () => undefined,
  });
  return {
    take: ingest.take,
    learned: () => ingest.withStream(STREAM, async ({ forecaster }) => structuredClone(forecaster.state())),
    async configure(seasonality: Seasonality) {
      const version = (await streams.find(STREAM))?.version ?? 0;
      const config = create(StreamConfigSchema, { seasonality });
      await store.transact((tx) => streams.configure(tx, STREAM, config, version));
    },
    /** What the climatology says of half a day after the newest map, or after one handed in. */
    async foretold(map?: { grid: { rows: number; cols: number; values: number[] } }) {
      const request = {
        stream: STREAM,
        steps: DAY / 2,
        predictors: [PredictorKind.CLIMATOLOGY],
        ...(map && { map }),
      };
      const answer = await predict(create(PredictRequestSchema, request), callOf());
      return create(PredictResponseSchema, answer).prediction!.values[0]!;
    },
  };
}

test('the season of a stream is the hour of day unless it is said to have none', () => {
  const read = (seasonality?: Seasonality) =>
    forecastSettings(create(StreamConfigSchema, seasonality === undefined ? {} : { seasonality }))
      .seasonality;
  expect(read()).toBe('HOUR_OF_DAY');
  expect(read(Seasonality.UNSPECIFIED)).toBe('HOUR_OF_DAY');
  expect(read(Seasonality.HOUR_OF_DAY)).toBe('HOUR_OF_DAY');
  expect(read(Seasonality.NONE)).toBe('NONE');
});

describeOnStores('the season of a stream', (engine) => {
  async function withStore<Result>(work: (store: Store) => Promise<Result>): Promise<Result> {
    const database = await engine.createDatabase();
    try {
      return await work(await database.open(energyMigrations));
    } finally {
      await database.dispose();
    }
  }

  test('energy.forecast a season is given up and looked for again with the next map, and stays learned', async () => {
    await withStore(async (store) => {
      const server = openServer(store, 60);
      await server.take(windows(0, WINDOWS));
      // Half a day after the last window of a day.
      expect(await server.foretold()).toBeCloseTo(LOW, 1);
      await server.configure(Seasonality.NONE);
      expect(await server.foretold()).toBeCloseTo(LOW, 1);
      await server.take(windows(WINDOWS, WINDOWS + DAY));
      const given = { grid: { rows: 1, cols: 1, values: [HIGH] } };
      for (const mean of [await server.foretold(), await server.foretold(given)]) {
        expect(mean).toBeGreaterThan(1.2 * LOW);
        expect(mean).toBeLessThan(0.9 * HIGH);
      }
      await server.configure(Seasonality.HOUR_OF_DAY);
      await server.take(windows(WINDOWS + DAY, WINDOWS + 2 * DAY));
      expect(await server.foretold()).toBeCloseTo(LOW, 1);
      // A map handed in comes next, with the first window of a day: half a day later the second half begins.
      expect(await server.foretold(given)).toBeCloseTo(HIGH, 1);
      // All that was learned of the maps is what one that never was without a season knows.
      const never = await withStore(async (other) => {
        const undisturbed = openServer(other, 60);
        await undisturbed.take(windows(0, WINDOWS + 2 * DAY));
        return undisturbed.learned();
      });
      expect((await server.learned()).models).toEqual(never.models);
    });
  });

  test('energy.forecast a restart at any time changes nothing of it', async () => {
    const played = (snapshotWindows: number, cuts: readonly number[]) =>
      withStore(async (store) => {
        let server = openServer(store, snapshotWindows);
        const told: number[] = [];
        const changes = new Map([
          [WINDOWS, Seasonality.NONE],
          [WINDOWS + DAY, Seasonality.HOUR_OF_DAY],
          [WINDOWS + 2 * DAY, Seasonality.NONE],
        ]);
        const ends = [...new Set([...cuts, ...changes.keys(), END])].sort((a, b) => a - b);
        let from = 0;
        for (const end of ends) {
          await server.take(windows(from, end));
          from = end;
          const seasonality = changes.get(end);
          if (seasonality !== undefined) {
            told.push(await server.foretold());
            await server.configure(seasonality);
          }
          if (cuts.includes(end)) server = openServer(store, snapshotWindows);
        }
        told.push(await server.foretold());
        return { told, learned: await server.learned() };
      });
    const undisturbed = await played(60, []);
    const isSeasonal = undisturbed.told.map((joules) => Math.abs(joules - LOW) < 1);
    expect(isSeasonal).toEqual([true, false, true, false]);
    const cuts = [3, WINDOWS, WINDOWS + 1, WINDOWS + DAY - 1, WINDOWS + DAY, WINDOWS + 2 * DAY, END - 3, END];
    expect(await played(7, cuts)).toEqual(undisturbed);
  });
});
