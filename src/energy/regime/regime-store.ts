/**
 * What was learned of a stream's regime, in SQL: one row per stream, written and read beside the snapshot of its maps.
 * Times are milliseconds since 1970.
 */
import { deserialize, serialize } from 'node:v8';
import type { Migration, Queries } from '../../store/store.ts';
import type { StreamName } from '../stream/stream-name.ts';
import type { RegimeTrackerState } from './regime-tracker.ts';

interface RegimeRow {
  domain: string;
  cluster: string;
  /** Start of the last window it covers. */
  through_ms: number;
  /** RegimeTrackerState, structured clone format. */
  payload: Uint8Array;
}

export interface RegimeTables {
  energy_regime: RegimeRow;
}

export const energyRegimeMigration: Migration = {
  id: 'energy_004_regimes',
  async up(schema, types) {
    await schema
      .createTable('energy_regime')
      .addColumn('domain', types.text, (column) => column.notNull())
      .addColumn('cluster', types.text, (column) => column.notNull())
      .addColumn('through_ms', types.integer, (column) => column.notNull())
      .addColumn('payload', types.bytes, (column) => column.notNull())
      .addPrimaryKeyConstraint('energy_regime_key', ['domain', 'cluster'])
      .execute();
  },
};

/** The tracker's state after the window of `throughMs`; undefined when that of another window is held, or none. */
export async function readRegime(
  query: Queries<RegimeTables>,
  stream: StreamName,
  throughMs: number,
): Promise<RegimeTrackerState | undefined> {
  const row = await query
    .selectFrom('energy_regime')
    .select('payload')
    .where((column) => column.and({ ...stream, through_ms: throughMs }))
    .executeTakeFirst();
  return row && (deserialize(row.payload) as RegimeTrackerState);
}

/** Replaces what is held of a stream. */
export async function writeRegime(
  query: Queries<RegimeTables>,
  stream: StreamName,
  throughMs: number,
  state: RegimeTrackerState,
): Promise<void> {
  const row = { through_ms: throughMs, payload: serialize(state) };
  await query
    .insertInto('energy_regime')
    .values({ ...stream, ...row })
    .onConflict((conflict) => conflict.columns(['domain', 'cluster']).doUpdateSet(row))
    .execute();
}
