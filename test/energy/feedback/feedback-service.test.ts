/** FeedbackService as a client sees it: every call as it should be, and every refusal; on both databases. */
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import { expect, test } from '@jest/globals';
import { energyMigrations } from '../../../src/energy/context.ts';
import type { FeedbackTables } from '../../../src/energy/feedback/feedback-tables-store.ts';
import { pruneLogits } from '../../../src/energy/feedback/label-store.ts';
import { highVrmseOf } from '../../../src/energy/forecast/forecast-service.ts';
import { findForecast, pruneForecasts } from '../../../src/energy/forecast/kept-forecast-store.ts';
import { Regime } from '../../../src/gen/homeostat/energy/v1/energy_service_pb.ts';
import { ModelStage, ModelStageReason } from '../../../src/gen/homeostat/energy/v1/feedback_service_pb.ts';
import type { Store } from '../../../src/store/store.ts';
import { describeOnStores } from '../../support/stores.ts';
import { STREAM, startOf } from '../support/windows.ts';
import { type FeedbackWorld, openFeedback, patternWindow, refusal } from './support/feedback-world.ts';
import type { Pattern } from './support/shifting.ts';

const SIDE = 3;
/** Hundreds of windows take a while on a busy machine. */
const LONG_MS = 120_000;
const DAY_MS = 86_400_000;
const OTHER = { domain: 'lab', cluster: 'none' };
const UNKNOWN_ID = '00000000-0000-8000-8000-000000000000';
/** The pattern changes for good as the first shadow starts. */
const shifted: Pattern = (at) => (at < 256 ? 0 : 1);
const windows = (from: number, to: number) =>
  Array.from({ length: to - from }, (_, n) => patternWindow(shifted, SIDE, from + n));

/** What the ACTIVE model of a world learned. */
const learnedBy = (world: FeedbackWorld) =>
  world.ingest.withStream(STREAM, async ({ forecaster }) => structuredClone(forecaster.state()));

describeOnStores('energy.feedback service', (engine) => {
  async function withStore(work: (store: Store) => Promise<void>): Promise<void> {
    const database = await engine.createDatabase();
    try {
      await work(await database.open(energyMigrations));
    } finally {
      await database.dispose();
    }
  }

  test(
    'energy.feedback models are shown, promoted by command and rolled back',
    async () => {
      await withStore(async (store) => {
        const world = openFeedback(store);
        await world.ingest.take(windows(0, 300));
        const { models } = await world.call('listModels', { stream: STREAM });
        expect(models.map(({ modelVersion, stage }) => [modelVersion, stage])).toEqual([
          [2, ModelStage.SHADOW],
          [1, ModelStage.ACTIVE],
        ]);
        const [shadow, active] = models;
        expect(active).toMatchObject({ stream: STREAM, version: 1n, predecessorId: '' });
        expect(active!.snapshotDigest).toHaveLength(32);
        expect(active!.card).toMatchObject({
          learnedCount: 300n,
          scoredCount: 299n,
          regimeTemperature: 1,
          labelCount: 0n,
          pairedCount: 43n,
          dataRange: { start: timestampFromMs(startOf(0)), end: timestampFromMs(startOf(300)) },
        });
        expect(active!.card!.coverages).toHaveLength(5);
        expect(active!.card!.brier).toBeUndefined();
        expect(shadow).toMatchObject({ predecessorId: active!.modelId, card: { learnedCount: 44n } });
        expect(shadow!.card!.pBetter! + active!.card!.pBetter!).toBeCloseTo(1, 9);
        const page = await world.call('listModels', { stream: STREAM, page: { pageSize: 1 } });
        expect(page).toMatchObject({ models: [shadow], nextPageToken: '2' });
        const rest = { stream: STREAM, page: { pageSize: 1, pageToken: page.nextPageToken } };
        expect(await world.call('listModels', rest)).toMatchObject({ models: [active], nextPageToken: '' });
        expect((await world.call('getModel', { stream: STREAM })).model).toEqual(active);
        expect((await world.call('getModel', { stream: STREAM, modelVersion: 2 })).model).toEqual(shadow);

        const promote = { modelId: shadow!.modelId, version: shadow!.version };
        expect(await refusal(world.call('promoteModel', promote))).toBe('EVIDENCE_TOO_WEAK');
        expect(await refusal(world.call('promoteModel', { ...promote, version: 9n }))).toBe(
          'VERSION_CONFLICT',
        );
        expect(await refusal(world.call('promoteModel', { modelId: UNKNOWN_ID, version: 1n }))).toBe(
          'MODEL_NOT_FOUND',
        );
        const wrong = { modelId: active!.modelId, version: 1n };
        expect(await refusal(world.call('promoteModel', wrong))).toBe('WRONG_STAGE');
        expect(await refusal(world.call('rollbackModel', promote))).toBe('WRONG_STAGE');
        expect(await refusal(world.call('rollbackModel', wrong))).toBe('WRONG_STAGE');
        expect(await refusal(world.call('rollbackModel', { ...wrong, version: 9n }))).toBe(
          'VERSION_CONFLICT',
        );
        expect(await refusal(world.call('rollbackModel', { modelId: UNKNOWN_ID, version: 1n }))).toBe(
          'MODEL_NOT_FOUND',
        );

        // Enough pairs, and the next look at them still to come.
        await world.ingest.take(windows(300, 470));
        const key = { idempotencyKey: 'promote-1' };
        const { model } = await world.call('promoteModel', { ...promote, ...key });
        expect(model).toMatchObject({ modelId: shadow!.modelId, stage: ModelStage.ACTIVE, version: 2n });
        expect(await world.call('promoteModel', { ...promote, ...key })).toMatchObject({ model });
        expect(await refusal(world.call('promoteModel', { ...promote, ...key, version: 2n }))).toBe(
          'IDEMPOTENCY_KEY_REUSED',
        );
        expect(world.audited.at(-1)).toBe(`model/${shadow!.modelId}`);
        expect((await world.call('getModel', { stream: STREAM })).model).toMatchObject({ modelVersion: 2 });
        // It answers from the next window on.
        expect(await world.predict({ stream: STREAM })).toMatchObject({ modelVersion: 1 });
        await world.ingest.take(windows(470, 471));
        expect(await world.predict({ stream: STREAM })).toMatchObject({ modelVersion: 2 });

        const rollback = { modelId: shadow!.modelId, version: 2n, idempotencyKey: 'back-1' };
        const restored = await world.call('rollbackModel', rollback);
        expect(restored.model).toMatchObject({ modelVersion: 1, stage: ModelStage.ACTIVE, version: 3n });
        expect(await world.call('rollbackModel', rollback)).toEqual(restored);
        expect(await refusal(world.call('rollbackModel', { ...rollback, version: 1n }))).toBe(
          'IDEMPOTENCY_KEY_REUSED',
        );
        const again = openFeedback(store);
        await again.ingest.take(windows(471, 472));
        expect(await again.predict({ stream: STREAM })).toMatchObject({ modelVersion: 1 });
        await again.ingest.take(windows(472, 473));
        const stages = (await again.call('listModels', { stream: STREAM })).models.map(({ stage }) => stage);
        expect(stages).toEqual([ModelStage.SHADOW, ModelStage.RETIRED, ModelStage.ACTIVE]);

        const changed = world.events.filter(({ name }) => name === 'model_stage_changed');
        const { SUPERSEDED, COMMANDED, STARTED } = ModelStageReason;
        expect(
          changed.map(({ key: named, message }) => [named, (message as { reason: number }).reason]),
        ).toEqual([
          ['lab.c1.1.1', STARTED],
          ['lab.c1.2.1', STARTED],
          ['lab.c1.1.2', SUPERSEDED],
          ['lab.c1.2.2', COMMANDED],
          ['lab.c1.2.3', COMMANDED],
          ['lab.c1.1.3', COMMANDED],
        ]);
        expect(changed[3]!.message).toMatchObject({
          from: ModelStage.SHADOW,
          model: { stage: ModelStage.ACTIVE, version: 2n, card: { pairedCount: 213n } },
          at: timestampFromMs(startOf(470)),
        });
      });
    },
    LONG_MS,
  );

  test(
    'energy.feedback forecasts are kept once under one name, scored by a report and dropped in time',
    async () => {
      await withStore(async (store) => {
        const world = openFeedback(store);
        await world.ingest.take(windows(0, 80));
        const first = await world.predict({ stream: STREAM, steps: 2, coverage: 0.8 });
        const same = await world.predict({ stream: STREAM, steps: 2, coverage: 0.8, returnTrajectory: true });
        const other = await world.predict({ stream: STREAM, steps: 2 });
        expect(first.forecastId).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-8/);
        expect(same.forecastId).toBe(first.forecastId);
        expect(other.forecastId).not.toBe(first.forecastId);
        const restarted = openFeedback(store);
        const repeated = await restarted.predict({ stream: STREAM, steps: 2, coverage: 0.8 });
        expect(repeated.forecastId).toBe(first.forecastId);
        const map = { grid: { rows: SIDE, cols: SIDE, values: new Array<number>(SIDE * SIDE).fill(1) } };
        expect(await world.predict({ stream: STREAM, map })).toMatchObject({
          forecastId: '',
          modelVersion: 1,
        });
        expect(await world.predict({ map })).toMatchObject({ forecastId: '', modelVersion: 0 });

        const kept = await findForecast(store, first.forecastId);
        expect(kept).toMatchObject({
          stream: STREAM,
          modelVersion: 1,
          horizon: 2,
          coverage: 0.8,
          targetStartMs: startOf(81),
          targetEndMs: startOf(82),
        });
        expect([...kept!.prediction]).toEqual(first.prediction!.values.map(Math.fround));
        const ends = [...first.lower!.values, ...first.upper!.values];
        expect([...kept!.lower, ...kept!.upper]).toEqual(ends.map(Math.fround));

        const at = timestampFromMs(startOf(81) + 1);
        const truth = { grid: { rows: SIDE, cols: SIDE, values: first.prediction!.values } };
        const report = { stream: STREAM, at, map: truth, idempotencyKey: 'outcome-1' };
        expect(await refusal(world.call('reportOutcome', report))).toBe('MAP_NOT_FOUND');
        await world.ingest.take(windows(80, 82));
        const outcome = await world.call('reportOutcome', report);
        expect(outcome).toMatchObject({ regimeTemperature: 1, labelCount: 0n });
        const scores = Object.fromEntries(outcome.forecasts.map((score) => [score.forecastId, score]));
        expect(Object.keys(scores).sort()).toEqual([first.forecastId, other.forecastId].sort());
        expect(scores[first.forecastId]).toMatchObject({
          horizonWindows: 2,
          vrmse: 0,
          covered: 1,
          stated: 0.8,
        });
        expect(await world.call('reportOutcome', report)).toEqual(outcome);
        expect(world.audited).toContain('stream/lab/c1');
        // An edge of the interval is inside; beyond it is not.
        const beyond = first.upper!.values.map((value, cell) => (cell < 3 ? value + 1 : value));
        const missed = await world.call('reportOutcome', {
          ...report,
          idempotencyKey: 'outcome-2',
          map: { grid: { rows: SIDE, cols: SIDE, values: beyond } },
        });
        const covered = missed.forecasts.find(({ forecastId }) => forecastId === first.forecastId)!.covered;
        expect(covered).toBeCloseTo(6 / 9, 12);

        expect(await highVrmseOf(world.ingest, STREAM, 1)).toBeGreaterThan(0);
        expect(await highVrmseOf(world.ingest, STREAM, 64)).toBeUndefined();

        await world.clock.advance(7 * DAY_MS - 1);
        await pruneForecasts(store, world.clock.nowMs());
        expect(await findForecast(store, first.forecastId)).toBeDefined();
        await world.clock.advance(1);
        await pruneForecasts(store, world.clock.nowMs());
        expect(await findForecast(store, first.forecastId)).toBeUndefined();
      });
    },
    LONG_MS,
  );

  test(
    'energy.feedback reported regimes lower the calibration error of probabilities that were too sure',
    async () => {
      await withStore(async (store) => {
        const world = openFeedback(store);
        await world.ingest.take(windows(0, 120));
        // Judged as if the first regime were all but certain.
        const sure = new Uint8Array(Float64Array.from([6, 0, 0, 0]).buffer);
        await store.transact((tx) =>
          tx.query<FeedbackTables>().updateTable('energy_logits').set({ logits: sure }).execute(),
        );
        // It was right in three cases of five only.
        const report = (at: number) => ({
          stream: STREAM,
          at: timestampFromMs(startOf(at)),
          regime: at % 5 < 3 ? Regime.EQUILIBRIUM : Regime.CHAOTIC,
          idempotencyKey: `label-${at}`,
        });
        const warming = await world.call('reportOutcome', report(0));
        expect(warming).toMatchObject({ labelCount: 0n, regimeTemperature: 1 });
        expect(warming.brier).toBeUndefined();
        let before = warming;
        for (let at = 20; at < 69; at++) before = await world.call('reportOutcome', report(at));
        expect(before).toMatchObject({ labelCount: 49n, regimeTemperature: 1 });
        expect(before.calibrationError).toBeGreaterThan(0.35);
        const again = { ...report(30), regime: Regime.EQUILIBRIUM, idempotencyKey: 'again' };
        expect(await world.call('reportOutcome', again)).toMatchObject({ labelCount: 49n });
        const after = await world.call('reportOutcome', report(69));
        expect(after).toMatchObject({
          labelCount: 50n,
          regimeTemperature: expect.closeTo(6 / Math.log(4.5), 6),
        });
        expect(after.calibrationError).toBeLessThan(before.calibrationError! / 2);
        expect(after.brier).toBeLessThan(before.brier!);

        const { card } = (await world.call('getModel', { stream: STREAM })).model!;
        expect(card).toMatchObject({
          labelCount: 50n,
          regimeTemperature: after.regimeTemperature,
          brier: after.brier,
          calibrationError: after.calibrationError,
        });
        const temperature = () => world.ingest.withStream(STREAM, async ({ regime }) => regime.temperature);
        expect(await temperature()).toBe(1);
        await world.ingest.take(windows(120, 121));
        expect(await temperature()).toBe(after.regimeTemperature);
        const second = openFeedback(store);
        expect(await second.ingest.withStream(STREAM, async ({ regime }) => regime.temperature)).toBe(
          after.regimeTemperature,
        );

        // Labels outlive the windows they are of.
        await pruneLogits(store, world.clock.nowMs() + 1);
        expect(await world.call('reportOutcome', report(100))).toMatchObject({ labelCount: 50n });
        const corrected = { ...report(21), regime: Regime.CRITICAL, idempotencyKey: 'corrected' };
        expect((await world.call('reportOutcome', corrected)).brier).not.toBe(after.brier);
      });
    },
    LONG_MS,
  );

  test(
    'energy.feedback what cannot be is refused',
    async () => {
      await withStore(async (store) => {
        const world = openFeedback(store);
        await world.ingest.take(windows(0, 2));
        const at = timestampFromMs(startOf(1));
        const report = (change: object) =>
          refusal(world.call('reportOutcome', { stream: STREAM, at, idempotencyKey: 'k', ...change }));
        const grid = { rows: 2, cols: 2, values: [1, 2, 3, -4] };
        expect(await report({})).toBe('FIELD_INVALID regime');
        expect(await report({ regime: Regime.WARMING_UP })).toBe('FIELD_INVALID regime');
        expect(await report({ map: {} })).toBe('FIELD_INVALID map.grid');
        for (const [fault, path] of [
          [{ values: [1, 2, Number.NaN, 4] }, '.values[2]'],
          [{ values: [1, 2, 3] }, '.values'],
          [{ values: [], rawValues: new Uint8Array(15) }, '.raw_values'],
          [{ values: [] }, ''],
          [{ rows: 0 }, '.rows'],
          [{ rows: 1025 }, '.rows'],
          [{ cols: 0 }, '.cols'],
          [{ cols: 1025 }, '.cols'],
        ] as const)
          expect(await report({ map: { grid: { ...grid, ...fault } } })).toBe(
            `FIELD_INVALID map.grid${path}`,
          );
        expect(await report({ map: { grid } })).toBe('SHAPE_MISMATCH');
        expect(await report({ map: { grid, negativePolicy: 4 } })).toBe('NEGATIVE_ENERGY');
        expect(await report({ regime: Regime.CRITICAL, stream: OTHER })).toBe('STREAM_NOT_FOUND');
        const early = timestampFromMs(startOf(-1));
        expect(await report({ regime: Regime.CRITICAL, at: early })).toBe('MAP_NOT_FOUND');
        const good = { regime: Regime.CRITICAL };
        await world.call('reportOutcome', { stream: STREAM, at, idempotencyKey: 'k', ...good });
        expect(await report({ regime: Regime.CHAOTIC })).toBe('IDEMPOTENCY_KEY_REUSED');
        expect(await refusal(world.call('getModel', { stream: OTHER }))).toBe('STREAM_NOT_FOUND');
        expect(await refusal(world.call('getModel', { stream: STREAM, modelVersion: 2 }))).toBe(
          'MODEL_NOT_FOUND',
        );
        expect(await refusal(world.call('listModels', { stream: OTHER }))).toBe('STREAM_NOT_FOUND');
        const page = { pageToken: 'x' };
        expect(await refusal(world.call('listModels', { stream: STREAM, page }))).toBe(
          'FIELD_INVALID page.page_token',
        );
      });
    },
    LONG_MS,
  );

  test(
    'energy.feedback a damaged snapshot is noticed, not served',
    async () => {
      await withStore(async (store) => {
        const world = openFeedback(store, 1);
        await world.ingest.take(windows(0, 3));
        await store.transact(async (tx) => {
          const query = tx.query<FeedbackTables>();
          const { payload } = await query
            .selectFrom('energy_model_snapshot')
            .select('payload')
            .executeTakeFirstOrThrow();
          const damaged = new Uint8Array(payload);
          damaged[100]! ^= 1;
          await query.updateTable('energy_model_snapshot').set({ payload: damaged }).execute();
        });
        await expect(openFeedback(store).predict({ stream: STREAM })).rejects.toThrow(/is damaged/);
      });
    },
    LONG_MS,
  );

  test(
    'energy.feedback a batch that a command overtook is folded again with what the command did, by any server',
    async () => {
      await withStore(async (store) => {
        let overtake: () => Promise<unknown> = async () => undefined;
        const first = openFeedback(store, 60, async () => void (await overtake()));
        await first.ingest.take(windows(0, 470));
        const { model } = await first.call('getModel', { stream: STREAM, modelVersion: 2 });
        const { modelId } = model!;
        overtake = () => {
          overtake = async () => undefined;
          return first.call('promoteModel', { modelId, version: 1n });
        };
        await expect(first.ingest.take(windows(470, 480))).rejects.toThrow(/was changed meanwhile/);
        const second = openFeedback(store);
        await second.ingest.take(windows(470, 480));
        expect(await second.predict({ stream: STREAM })).toMatchObject({ modelVersion: 2 });
        await second.call('rollbackModel', { modelId, version: 2n });
        const third = openFeedback(store);
        await third.ingest.take(windows(480, 490));
        expect(await third.predict({ stream: STREAM })).toMatchObject({ modelVersion: 1 });
        expect(await learnedBy(openFeedback(store))).toEqual(await learnedBy(third));
        const { models } = await third.call('listModels', { stream: STREAM });
        expect(models.map(({ stage, version }) => [stage, version])).toEqual([
          [ModelStage.SHADOW, 1n],
          [ModelStage.RETIRED, 3n],
          [ModelStage.ACTIVE, 3n],
        ]);
      });
    },
    LONG_MS,
  );
});
