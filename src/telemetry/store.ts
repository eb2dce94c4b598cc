/**
 * Tables of telemetry. `telemetry_checkpoint` holds each stream's state and the broker sequence it covers,
 * `telemetry_content` the hashes of messages without a sequence, `telemetry_summary` the closed windows of the last
 * day, `telemetry_position` how far the whole stream is covered. Broker sequences count within a generation: the
 * broker's stream made anew, or cut back, begins another, and a checkpoint of an older one covers nothing of it.
 * Event times are milliseconds since 1970, `*_at_ms` wall milliseconds.
 */
import type { Bus } from '../bus/bus.ts';
import type { Migration, Store, Tx } from '../store/store.ts';
import type { StoredStream, StreamCapture } from './fold/checkpoint.ts';
import { recordGap, recordWindow, windowParts } from './publish.ts';
import type { ClosedWindow } from './window/closing.ts';

interface TelemetryTables {
  telemetry_checkpoint: {
    domain: string;
    cluster: string;
    generation: number;
    sequence: number;
    head: string;
    names: string;
    state: Uint8Array;
    committed_at_ms: number;
  };
  telemetry_content: {
    domain: string;
    cluster: string;
    minute: number;
    sequence: number;
    generation: number;
    hashes: Uint8Array;
  };
  telemetry_summary: {
    domain: string;
    cluster: string;
    start_ms: number;
    end_ms: number;
    counts: string;
    names: string;
    summaries: Uint8Array;
    closed_at_ms: number;
  };
  telemetry_position: { name: string; generation: number; sequence: number };
}

export const telemetryMigrations: readonly Migration[] = [
  {
    id: 'telemetry_001_fold',
    async up(schema, types) {
      await schema
        .createTable('telemetry_checkpoint')
        .addColumn('domain', types.text, (column) => column.notNull())
        .addColumn('cluster', types.text, (column) => column.notNull())
        .addColumn('generation', types.integer, (column) => column.notNull())
        .addColumn('sequence', types.integer, (column) => column.notNull())
        .addColumn('head', types.text, (column) => column.notNull())
        .addColumn('names', types.text, (column) => column.notNull())
        .addColumn('state', types.bytes, (column) => column.notNull())
        .addColumn('committed_at_ms', types.integer, (column) => column.notNull())
        .addPrimaryKeyConstraint('telemetry_checkpoint_key', ['domain', 'cluster'])
        .execute();
      await schema
        .createTable('telemetry_content')
        .addColumn('domain', types.text, (column) => column.notNull())
        .addColumn('cluster', types.text, (column) => column.notNull())
        .addColumn('minute', types.integer, (column) => column.notNull())
        .addColumn('generation', types.integer, (column) => column.notNull())
        .addColumn('sequence', types.integer, (column) => column.notNull())
        .addColumn('hashes', types.bytes, (column) => column.notNull())
        .addPrimaryKeyConstraint('telemetry_content_key', [
          'domain',
          'cluster',
          'minute',
          'generation',
          'sequence',
        ])
        .execute();
      await schema
        .createTable('telemetry_summary')
        .addColumn('domain', types.text, (column) => column.notNull())
        .addColumn('cluster', types.text, (column) => column.notNull())
        .addColumn('start_ms', types.integer, (column) => column.notNull())
        .addColumn('end_ms', types.integer, (column) => column.notNull())
        .addColumn('counts', types.text, (column) => column.notNull())
        .addColumn('names', types.text, (column) => column.notNull())
        .addColumn('summaries', types.bytes, (column) => column.notNull())
        .addColumn('closed_at_ms', types.integer, (column) => column.notNull())
        .addPrimaryKeyConstraint('telemetry_summary_key', ['domain', 'cluster', 'start_ms'])
        .execute();
      await schema
        .createIndex('telemetry_summary_age')
        .on('telemetry_summary')
        .column('closed_at_ms')
        .execute();
      await schema
        .createTable('telemetry_position')
        .addColumn('name', types.text, (column) => column.primaryKey())
        .addColumn('generation', types.integer, (column) => column.notNull())
        .addColumn('sequence', types.integer, (column) => column.notNull())
        .execute();
    },
  },
];

/** How far the broker's stream is covered. */
export interface Position {
  readonly generation: number;
  readonly sequence: number;
}

/** A stream's checkpoint as stored. */
export interface StoredCheckpoint extends StoredStream, Position {}

/** Outcomes of one closed window. */
export interface WindowCounts {
  readonly samples: readonly number[];
  readonly messages: readonly number[];
}

/** Names one stream, or a place in the order of streams. */
export interface StreamKey {
  readonly domain: string;
  readonly cluster: string;
}

/** What one transaction of the fold writes. */
export interface CommitPart {
  readonly captures: readonly StreamCapture[];
  /** Generation and sequence the captures cover. */
  readonly covered: Position;
  /** How far the whole stream is covered with this part. */
  readonly position: Position;
}

export interface TelemetryStore {
  commit(part: CommitPart): Promise<void>;
  position(): Promise<Position>;
  checkpoint(key: StreamKey): Promise<StoredCheckpoint | undefined>;
  /** Checkpoints from a place on, in order of domain and cluster. */
  checkpoints(from: StreamKey, limit: number): Promise<readonly StoredCheckpoint[]>;
  /** Hashes of a stream from a minute on, -Infinity for all. */
  content(key: StreamKey, floorMinute: number): Promise<readonly { minute: number; hashes: Float64Array }[]>;
  /** Outcomes of the windows that start in [startMs, endMs). */
  windowCounts(key: StreamKey, startMs: number, endMs: number): Promise<readonly WindowCounts[]>;
  /** Removes summaries written before a wall time. */
  pruneSummaries(beforeMs: number): Promise<void>;
}

const POSITION = 'fold';

export function createTelemetryStore(store: Store, bus: Bus, nowMs: () => number): TelemetryStore {
  const read = () => store.query<TelemetryTables>();
  return {
    commit: (part) =>
      store.transact(async (tx) => {
        for (const capture of part.captures) await writeCapture(tx, bus, capture, part.covered, nowMs());
        await writePosition(tx, part.position);
      }),
    async position() {
      const row = await read()
        .selectFrom('telemetry_position')
        .select(['generation', 'sequence'])
        .where('name', '=', POSITION)
        .executeTakeFirst();
      return row ?? { generation: 1, sequence: 0 };
    },
    checkpoint: ({ domain, cluster }) =>
      read()
        .selectFrom('telemetry_checkpoint')
        .select(['domain', 'cluster', 'generation', 'sequence', 'head', 'names', 'state'])
        .where('domain', '=', domain)
        .where('cluster', '=', cluster)
        .executeTakeFirst(),
    checkpoints: ({ domain, cluster }, limit) =>
      read()
        .selectFrom('telemetry_checkpoint')
        .select(['domain', 'cluster', 'generation', 'sequence', 'head', 'names', 'state'])
        .where((where) =>
          where.or([
            where('domain', '>', domain),
            where.and([where('domain', '=', domain), where('cluster', '>=', cluster)]),
          ]),
        )
        .orderBy('domain')
        .orderBy('cluster')
        .limit(limit)
        .execute(),
    async content({ domain, cluster }, floorMinute) {
      const rows = await read()
        .selectFrom('telemetry_content')
        .select(['minute', 'hashes'])
        .where('domain', '=', domain)
        .where('cluster', '=', cluster)
        .where('minute', '>=', Math.max(floorMinute, Number.MIN_SAFE_INTEGER))
        .execute();
      return rows.map(({ minute, hashes }) => ({ minute, hashes: new Float64Array(hashes.slice().buffer) }));
    },
    async windowCounts({ domain, cluster }, startMs, endMs) {
      const rows = await read()
        .selectFrom('telemetry_summary')
        .select('counts')
        .where('domain', '=', domain)
        .where('cluster', '=', cluster)
        .where('start_ms', '>=', startMs)
        .where('start_ms', '<', endMs)
        .execute();
      return rows.map(({ counts }) => JSON.parse(counts) as WindowCounts);
    },
    async pruneSummaries(beforeMs) {
      await store.transact(async (tx) => {
        await tx
          .query<TelemetryTables>()
          .deleteFrom('telemetry_summary')
          .where('closed_at_ms', '<', beforeMs)
          .execute();
      });
    },
  };
}

async function writeCapture(
  tx: Tx,
  bus: Bus,
  capture: StreamCapture,
  covered: Position,
  nowMs: number,
): Promise<void> {
  const { domain, cluster } = capture.stream;
  const { head, names, state } = capture;
  const row = { ...covered, head, state, committed_at_ms: nowMs };
  await tx
    .query<TelemetryTables>()
    .insertInto('telemetry_checkpoint')
    .values({ domain, cluster, ...row, names: names ?? '' })
    .onConflict((conflict) =>
      conflict.columns(['domain', 'cluster']).doUpdateSet(names === undefined ? row : { ...row, names }),
    )
    .execute();
  await writeContent(tx, capture, covered);
  for (const window of capture.closed) await writeWindow(tx, bus, capture.stream, window, nowMs);
  for (const gap of capture.found) await recordGap(bus, tx, { domain, cluster }, gap);
}

async function writeContent(tx: Tx, capture: StreamCapture, covered: Position): Promise<void> {
  if (capture.content.length === 0) return;
  const { domain, cluster } = capture.stream;
  const query = tx.query<TelemetryTables>();
  const rows = capture.content.map(({ minute, hashes }) => ({
    domain,
    cluster,
    minute,
    ...covered,
    hashes: new Uint8Array(hashes.buffer),
  }));
  await query.insertInto('telemetry_content').values(rows).execute();
  if (!Number.isFinite(capture.contentFloorMinute)) return;
  await query
    .deleteFrom('telemetry_content')
    .where('domain', '=', domain)
    .where('cluster', '=', cluster)
    .where('minute', '<', capture.contentFloorMinute)
    .execute();
}

/** A window's summaries, rows of doubles as the fold made them, and its events. */
async function writeWindow(
  tx: Tx,
  bus: Bus,
  stream: StreamKey,
  window: ClosedWindow,
  nowMs: number,
): Promise<void> {
  const { domain, cluster } = stream;
  const { startMs, endMs, nodes, metrics, summaries } = window;
  const counts: WindowCounts = { samples: Array.from(window.samples), messages: Array.from(window.messages) };
  const row = {
    end_ms: endMs,
    counts: JSON.stringify(counts),
    names: JSON.stringify({ nodes, metrics }),
    summaries: new Uint8Array(summaries.buffer, summaries.byteOffset, summaries.byteLength),
    closed_at_ms: nowMs,
  };
  await tx
    .query<TelemetryTables>()
    .insertInto('telemetry_summary')
    .values({ domain, cluster, start_ms: startMs, ...row })
    .onConflict((conflict) => conflict.columns(['domain', 'cluster', 'start_ms']).doUpdateSet(row))
    .execute();
  for (const message of windowParts({ domain, cluster }, window))
    await recordWindow(bus, tx, message, startMs);
}

async function writePosition(tx: Tx, position: Position): Promise<void> {
  await tx
    .query<TelemetryTables>()
    .insertInto('telemetry_position')
    .values({ name: POSITION, ...position })
    .onConflict((conflict) => conflict.column('name').doUpdateSet({ ...position }))
    .execute();
}
