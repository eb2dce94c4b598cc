/**
 * What this context keeps: a checkpoint per cell (`resilience_cell`) and the log of level changes (`defense_log`).
 * Both are written in the transaction that also records the events of the changes, so a restart goes on exactly where
 * the last commit left off. Times are milliseconds since 1970; `place` numbers the log from 1 in order of change.
 */
import type { Migration, Store, Tx } from '../store/store.ts';
import type { Cell, CellName } from './cells/cell.ts';
import type { NodeMemory } from './cells/utilization.ts';
import type { DefenseInput, DefenseLevel } from './defense/level.ts';
import { type Cells, cellKey, type DefenseChange } from './fleet.ts';
import { UNLOOKED } from './phase-risk/held-risk.ts';
import { riskMigrations } from './phase-risk/migrations.ts';

interface CellRow {
  domain: string;
  cluster: string;
  /** The cell as JSON. */
  state: string;
  /** Wall time. */
  updated_at: number;
}

interface LogRow {
  id: string;
  place: number;
  /** Event time. */
  at: number;
  /** Wall time. */
  recorded_at: number;
  /** Empty, with the cluster, for the fleet. */
  domain: string;
  cluster: string;
  from_level: number;
  to_level: number;
  /** The inputs as JSON. */
  inputs: string;
  cause: string;
}

interface ResilienceTables {
  resilience_cell: CellRow;
  defense_log: LogRow;
}

/** A change as it was logged. */
export interface LogEntry extends Omit<DefenseChange, 'key' | 'cause'> {
  readonly id: string;
  readonly place: number;
  readonly recordedAtMs: number;
  readonly cause: string;
}

/** Which entries are wanted. */
export interface LogFilter {
  /** Only changes of this cell, or of the fleet; absent: all. */
  readonly scope?: CellName | 'FLEET';
  readonly recordedSinceMs: number;
  /** Only entries before this place. */
  readonly beforePlace?: number;
  readonly limit: number;
}

/** The tables of this context. */
export interface ResilienceStore {
  /** The cells as of the last commit, and the place of the last log entry (0: none). */
  load(): Promise<{ readonly cells: Cells; readonly lastPlace: number }>;
  /** Writes changed cells and new log entries. */
  save(tx: Tx, cells: readonly Cell[], entries: readonly LogEntry[], nowMs: number): Promise<void>;
  /** Log entries, newest first. */
  listLog(filter: LogFilter): Promise<readonly LogEntry[]>;
  /** Drops log entries recorded before an instant; how many there were. */
  pruneLog(recordedBeforeMs: number): Promise<number>;
}

/** The schema, step by step. */
export const resilienceMigrations: readonly Migration[] = [
  {
    id: 'resilience_001_cell',
    up: async (schema, types) => {
      await schema
        .createTable('resilience_cell')
        .addColumn('domain', types.text, (column) => column.notNull())
        .addColumn('cluster', types.text, (column) => column.notNull())
        .addColumn('state', types.text, (column) => column.notNull())
        .addColumn('updated_at', types.integer, (column) => column.notNull())
        .addPrimaryKeyConstraint('resilience_cell_key', ['domain', 'cluster'])
        .execute();
    },
  },
  {
    id: 'resilience_002_defense_log',
    up: async (schema, types) => {
      await schema
        .createTable('defense_log')
        .addColumn('id', types.text, (column) => column.primaryKey())
        .addColumn('place', types.integer, (column) => column.notNull())
        .addColumn('at', types.integer, (column) => column.notNull())
        .addColumn('recorded_at', types.integer, (column) => column.notNull())
        .addColumn('domain', types.text, (column) => column.notNull())
        .addColumn('cluster', types.text, (column) => column.notNull())
        .addColumn('from_level', types.integer, (column) => column.notNull())
        .addColumn('to_level', types.integer, (column) => column.notNull())
        .addColumn('inputs', types.text, (column) => column.notNull())
        .addColumn('cause', types.text, (column) => column.notNull())
        .execute();
      await schema.createIndex('defense_log_place').on('defense_log').column('place').unique().execute();
      await schema.createIndex('defense_log_recorded_at').on('defense_log').column('recorded_at').execute();
      await schema
        .createIndex('defense_log_scope')
        .on('defense_log')
        .columns(['domain', 'cluster', 'place'])
        .execute();
    },
  },
  ...riskMigrations,
];

/** Needs the migrations applied. */
export function createResilienceStore(store: Store): ResilienceStore {
  return {
    async load() {
      const query = store.query<ResilienceTables>();
      const rows = await query.selectFrom('resilience_cell').select('state').execute();
      const last = await query
        .selectFrom('defense_log')
        .select((columns) => columns.fn.max('place').as('place'))
        .executeTakeFirst();
      const cells = rows.map((row) => cellFromJson(row.state));
      return {
        cells: new Map(cells.map((cell) => [cellKey(cell.name), cell])),
        lastPlace: last?.place ?? 0,
      };
    },

    async save(tx, cells, entries, nowMs) {
      const query = tx.query<ResilienceTables>();
      if (cells.length > 0)
        await query
          .insertInto('resilience_cell')
          .values(cells.map((cell) => cellToRow(cell, nowMs)))
          .onConflict((conflict) =>
            conflict.columns(['domain', 'cluster']).doUpdateSet((row) => ({
              state: row.ref('excluded.state'),
              updated_at: row.ref('excluded.updated_at'),
            })),
          )
          .execute();
      if (entries.length > 0) await query.insertInto('defense_log').values(entries.map(entryToRow)).execute();
    },

    async listLog(filter) {
      let query = store
        .query<ResilienceTables>()
        .selectFrom('defense_log')
        .selectAll()
        .where('recorded_at', '>=', filter.recordedSinceMs)
        .orderBy('place', 'desc')
        .limit(filter.limit);
      if (filter.scope) {
        const { domain, cluster } = filter.scope === 'FLEET' ? FLEET_COLUMNS : filter.scope;
        query = query.where('domain', '=', domain).where('cluster', '=', cluster);
      }
      if (filter.beforePlace !== undefined) query = query.where('place', '<', filter.beforePlace);
      return (await query.execute()).map(entryFromRow);
    },

    async pruneLog(recordedBeforeMs) {
      const { numDeletedRows } = await store.transact((tx) =>
        tx
          .query<ResilienceTables>()
          .deleteFrom('defense_log')
          .where('recorded_at', '<', recordedBeforeMs)
          .executeTakeFirst(),
      );
      return Number(numDeletedRows);
    },
  };
}

/** How the fleet is written in the scope columns. */
const FLEET_COLUMNS: CellName = { domain: '', cluster: '' };

/** A node as the checkpoint has it: name, last window, interval, then end, mean and covered seconds per reading. */
type NodeColumns = [string, number, number, ...number[]];

/** The cell as the checkpoint has it: nodes are packed, since a large cell is written at every look. */
interface PackedCell extends Omit<Cell, 'memory' | 'risk' | 'calm'> {
  readonly memory: readonly NodeColumns[];
  /** Absent, as `calm` is, in a checkpoint of version 0.1. */
  readonly risk?: Cell['risk'];
  readonly calm?: Cell['calm'];
}

function cellToRow(cell: Cell, nowMs: number): CellRow {
  const packed: PackedCell = { ...cell, memory: [...cell.memory].map(packNode) };
  return { ...cell.name, state: JSON.stringify(packed), updated_at: nowMs };
}

function cellFromJson(state: string): Cell {
  const packed: PackedCell = JSON.parse(state);
  return {
    ...packed,
    open: packed.open,
    memory: new Map(packed.memory.map(unpackNode)),
    risk: packed.risk ?? UNLOOKED,
    calm: packed.calm ?? {},
  };
}

function packNode([node, { lastMs, intervalMs, recent }]: [string, NodeMemory]): NodeColumns {
  const columns: NodeColumns = [node, lastMs, intervalMs];
  for (const { endMs, mean, coveredSeconds } of recent) columns.push(endMs, mean, coveredSeconds);
  return columns;
}

function unpackNode([node, lastMs, intervalMs, ...columns]: NodeColumns): [string, NodeMemory] {
  const recent: NodeMemory['recent'][number][] = [];
  for (let i = 0; i < columns.length; i += 3)
    recent.push({ endMs: columns[i]!, mean: columns[i + 1]!, coveredSeconds: columns[i + 2]! });
  return [node, { lastMs, intervalMs, recent }];
}

function entryToRow(entry: LogEntry): LogRow {
  return {
    id: entry.id,
    place: entry.place,
    at: entry.atMs,
    recorded_at: entry.recordedAtMs,
    ...(entry.scope ?? FLEET_COLUMNS),
    from_level: entry.fromLevel,
    to_level: entry.toLevel,
    inputs: JSON.stringify(entry.inputs),
    cause: entry.cause,
  };
}

function entryFromRow(row: LogRow): LogEntry {
  return {
    id: row.id,
    place: row.place,
    recordedAtMs: row.recorded_at,
    ...(row.domain !== '' && { scope: { domain: row.domain, cluster: row.cluster } }),
    fromLevel: row.from_level as DefenseLevel,
    toLevel: row.to_level as DefenseLevel,
    atMs: row.at,
    inputs: JSON.parse(row.inputs) as readonly DefenseInput[],
    cause: row.cause,
  };
}
