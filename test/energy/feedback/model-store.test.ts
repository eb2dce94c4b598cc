/** What is on record of a stream's models, on both databases. */
import { expect, test } from '@jest/globals';
import { energyMigrations } from '../../../src/energy/context.ts';
import { listModels, modelsOnDuty, saveModels } from '../../../src/energy/feedback/model-store.ts';
import { StreamModels } from '../../../src/energy/feedback/stream-models.ts';
import { describeOnStores } from '../../support/stores.ts';
import { STREAM } from '../support/windows.ts';

describeOnStores('energy.feedback records of models', (engine) => {
  test('reach 256 back, those on duty however old they are', async () => {
    const database = await engine.createDatabase();
    const store = await database.open(energyMigrations);
    const [card] = new StreamModels().cards();
    const written = (modelVersion: number, isKept: boolean) => ({
      record: { ...card!.record, modelVersion },
      stage: isKept ? ('ACTIVE' as const) : ('RETIRED' as const),
      card,
      isKept,
      versionBefore: undefined,
      digest: undefined,
    });
    const writes = Array.from({ length: 300 }, (_, at) => written(at + 1, at === 0));
    await store.transact((tx) => saveModels(tx, STREAM, writes));
    const held = (await listModels(store, STREAM, 1_000, 1_000)).map(({ modelVersion }) => modelVersion);
    expect(held).toHaveLength(257);
    expect([held[0], held.at(-2), held.at(-1)]).toEqual([300, 45, 1]);
    expect(await modelsOnDuty(store, STREAM)).toMatchObject([{ modelVersion: 1, stage: 'ACTIVE' }]);
    await database.dispose();
  });
});
