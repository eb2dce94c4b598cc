/** What suites of ProofService share: a database per test, a world on it, and more worlds as they are asked for. */
import { afterEach, beforeEach, expect } from '@jest/globals';
import type { ProvenForecast } from '../../../../src/energy/proof/proof-service.ts';
import { parseReceipt } from '../../../../src/energy/proof/receipt.ts';
import type { Proof } from '../../../../src/gen/homeostat/energy/v1/proof_service_pb.ts';
import type { Store } from '../../../../src/store/store.ts';
import { createFakeClock, type FakeClock } from '../../../support/fake-clock.ts';
import type { TestDatabase, TestEngine } from '../../../support/stores.ts';
import { createProofWorld, migrations, type ProofWorld, STREAM } from './proof-world.ts';

export const FORECAST_ID = '018f0000-0000-8000-8000-00000000000f';
/** Of nothing. */
export const NOBODY = '018f0000-0000-7000-8000-000000000000';
export const GRID = { rows: 2, cols: 2, values: [1, 2, 3, 4] };
export const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');
export const bodyOf = ({ receipt }: Proof) => parseReceipt(receipt)!.body;

type WorldOptions = Partial<Parameters<typeof createProofWorld>[0]>;

export interface ProofSuite {
  readonly world: ProofWorld;
  readonly clock: FakeClock;
  readonly database: TestDatabase;
  /** Another world; on the same store, where none is given. */
  open(options?: WorldOptions): Promise<ProofWorld>;
  /** Stops everything and opens the database anew. */
  restart(): Promise<void>;
  /** Expects that nothing was kept, told or audited by what is refused. */
  unchanged(work: () => Promise<unknown>): Promise<void>;
}

/** To be called where a suite is declared. */
export function useProofSuite(engine: TestEngine): ProofSuite {
  let database: TestDatabase;
  let store: Store;
  let clock: FakeClock;
  let world: ProofWorld;
  const worlds: ProofWorld[] = [];
  const open = async (options: WorldOptions = {}) => {
    const opened = await createProofWorld({ store, clock, ...options });
    worlds.push(opened);
    return opened;
  };
  const counts = async () => {
    const { proofs } = await world.as('ada').list();
    return [world.issued.length, world.audited.length, proofs.length];
  };
  beforeEach(async () => {
    database = await engine.createDatabase();
    store = await database.open(migrations);
    clock = createFakeClock();
    world = await open();
  });
  afterEach(async () => {
    for (const opened of worlds.splice(0)) await opened.close();
    expect(clock.pending()).toBe(0);
    await database.dispose();
  });
  return {
    get world() {
      return world;
    },
    get clock() {
      return clock;
    },
    get database() {
      return database;
    },
    open,
    async restart() {
      for (const opened of worlds.splice(0)) await opened.close();
      await store.close();
      store = await database.open(migrations);
      world = await open();
    },
    async unchanged(work) {
      const before = await counts();
      await work();
      expect(await counts()).toEqual(before);
    },
  };
}

/** A forecast two windows ahead of the map of `GRID`, whose window ends now. */
export function forecastOf(clock: FakeClock): ProvenForecast & { readonly forecastId: string } {
  return {
    forecastId: FORECAST_ID,
    stream: STREAM,
    modelVersion: 7,
    horizon: 2,
    rows: 2,
    cols: 2,
    prediction: Float32Array.of(1, 2, 3, 4.1),
    lower: Float32Array.of(0.5, 1.5, 2.5, 3.5),
    upper: Float32Array.of(1.5, 2.5, 3.5, 4.5),
    coverage: 0.95,
    targetStartMs: clock.nowMs() - 10_000,
    targetEndMs: clock.nowMs(),
  };
}
