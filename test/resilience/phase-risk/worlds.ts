/** What the suites of phase risk share: maps, looks made by hand, and the ingests of both feeds on a real store. */
import { create } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import type { Bus } from '../../../src/bus/bus.ts';
import { type Clock, systemClock } from '../../../src/clock.ts';
import {
  type EnergyMapUpdated,
  EnergyMapUpdatedSchema,
} from '../../../src/gen/homeostat/energy/v1/energy_events_pb.ts';
import type { WindowClosed } from '../../../src/gen/homeostat/telemetry/v1/telemetry_events_pb.ts';
import { createRandom } from '../../../src/random.ts';
import type {
  AssessedMetric,
  Assessment,
  RiskSeverity,
  RunMetric,
} from '../../../src/resilience/early-warning/assessment.ts';
import type { MetricFinding } from '../../../src/resilience/early-warning/metric-assessment.ts';
import { prepareSeries } from '../../../src/resilience/early-warning/series.ts';
import { worstSeverity } from '../../../src/resilience/early-warning/severity.ts';
import { createHealthBoard } from '../../../src/resilience/health.ts';
import { createWindowIngest } from '../../../src/resilience/ingest.ts';
import { createDetectors } from '../../../src/resilience/phase-risk/detectors.ts';
import { createRiskLooks } from '../../../src/resilience/phase-risk/looks.ts';
import { createMapIngest } from '../../../src/resilience/phase-risk/map-ingest.ts';
import { createRiskStore } from '../../../src/resilience/phase-risk/store.ts';
import { createResilienceStore } from '../../../src/resilience/store.ts';
import type { Store } from '../../../src/store/store.ts';
import { silentLogger } from '../../support/stores.ts';
import { config, MINUTE_MS } from '../worlds.ts';

export const rules = { ...config, ceiling: 0.8 };

export interface MapShape {
  readonly cluster?: string;
  /** Which map, from 0; as of windows. */
  readonly index: number;
  /** Net energy. */
  readonly net?: number;
  readonly entropyRatio?: number;
  readonly observedCount?: number;
  readonly widthMs?: number;
}

/** The map that energy makes of a window of the stream `fleet/c1`. */
export function energyMap(shape: MapShape): EnergyMapUpdated {
  const widthMs = shape.widthMs ?? MINUTE_MS;
  const startMs = shape.index * widthMs;
  const { net = 1, entropyRatio, observedCount = 4 } = shape;
  return create(EnergyMapUpdatedSchema, {
    map: {
      stream: { domain: 'fleet', cluster: shape.cluster ?? 'c1' },
      start: timestampFromMs(startMs),
      end: timestampFromMs(startMs + widthMs),
      state: {
        net,
        observedCount,
        ...(entropyRatio !== undefined && { spatialEntropyRatio: entropyRatio }),
      },
    },
  });
}

/**
 * `count` values around `mean` with a standard deviation near `spread`: an AR(1) process whose coefficient goes from
 * the first of `memory` to the last. A rising one is a system that slows down.
 */
export function recovering(
  count: number,
  seed: number,
  { memory = [0.3, 0.3], mean = 0.5, spread = 0.02 }: Fluctuation = {},
): number[] {
  const random = createRandom(seed, 0);
  let deviation = 0;
  return Array.from({ length: count }, (_, t) => {
    const phi = memory[0] + ((memory[1] - memory[0]) * t) / count;
    deviation = phi * deviation + spread * random.normal();
    return mean + deviation;
  });
}

export interface Fluctuation {
  readonly memory?: readonly [number, number];
  readonly mean?: number;
  /** Standard deviation of the innovations. */
  readonly spread?: number;
}

/** A look in which each metric got a severity; UNKNOWN stands for too few samples. */
export function lookOf(severities: Readonly<Record<string, RiskSeverity>>): Assessment {
  const metrics = Object.entries(severities).map(([name, severity]): AssessedMetric => {
    const isJudged = severity !== 'UNKNOWN';
    const finding: MetricFinding = isJudged
      ? { ...JUDGED, name }
      : { name, status: 'INSUFFICIENT', why: 'too few', samples: 0, tests: [], indicators: [] };
    return { finding, severity, signals: [] };
  });
  return {
    severity: worstSeverity(Object.values(severities)),
    metrics,
    alpha: 0.05,
    tests: 2 * metrics.length,
  };
}

const JUDGED = {
  status: 'OK',
  samples: 400,
  tests: [],
  indicators: [],
  present: { lagOne: 0.5, recoveryRate: 0.01, recoveryRate2: 0.02 },
} as const;

/**
 * Judges at once instead of by surrogates: what it finds follows from every bit of the job, so a look that stood on
 * anything else is found out, and every severity comes up.
 */
export const judgeByHash: RunMetric = async ({ series, options, tests, stream, reference }) => {
  const hash = hashOf(
    JSON.stringify([series.intervalMs, series.limit, options.seed, tests, stream, reference]),
    series.values,
  );
  const prepared = prepareSeries(series);
  const p = [0.0001, 0.004, 0.9][hash % 3]!;
  const test = { value: hash, threshold: 1, surrogates: 399, windowSamples: 32 };
  return {
    name: series.name,
    status: 'OK',
    samples: prepared.status === 'OK' ? prepared.values.length : 0,
    tests: [
      { ...test, family: 'TREND', p },
      { ...test, family: 'LEVEL', p: 0.5 },
    ],
    indicators: [],
    present: { lagOne: 0.5, recoveryRate: hash % 5 < 2 ? 0.2 : 0.9, recoveryRate2: 0.5 },
    reference: reference ?? { lagOne: 0.1, recoveryRate: 1, recoveryRate2: 1 },
    limitMargin: (hash % 7) / 20,
  };
};

/** 32-bit FNV-1a. */
function hashOf(text: string, values: Float64Array): number {
  let hash = 0x811c9dc5;
  const feed = (bytes: Uint8Array) => {
    for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  };
  feed(new TextEncoder().encode(text));
  feed(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
  return hash;
}

export interface ProcessOptions {
  readonly store: Store;
  readonly bus: Pick<Bus, 'record'>;
  readonly transact?: Store['transact'];
  readonly run?: RunMetric;
  readonly clock?: Clock;
  readonly mapGraceMs?: number;
}

/** Wall time of every commit. */
export const RECORDED_AT_MS = Date.UTC(2026, 0, 1);

/** Both ingests as a fresh process would make them, recovered. */
export async function startProcess({ store, bus, ...options }: ProcessOptions) {
  const { clock = systemClock, transact = (work) => store.transact(work) } = options;
  const table = createResilienceStore(store);
  const riskTable = createRiskStore(store);
  const board = createHealthBoard(rules);
  const detectors = createDetectors(clock, config.gridMs);
  const outcomes = new Map<string, number>();
  const { mapGraceMs = config.mapGraceMs } = options;
  const looks = createRiskLooks({
    options: { ...config, mapGraceMs, detrend: 'GAUSSIAN', ceiling: rules.ceiling },
    detectors,
    run: options.run ?? judgeByHash,
    clock,
    logger: silentLogger,
  });
  const cut = { transact };
  const windows = createWindowIngest({
    rules,
    metric: 'cpu',
    outcomes,
    clock: { nowMs: () => RECORDED_AT_MS },
    store: cut,
    table,
    riskTable,
    detectors,
    looks,
    bus,
    board,
  });
  const maps = createMapIngest({ detectors, table: riskTable, store: cut, clock });
  await maps.recover();
  await windows.recover();
  return {
    takeWindows: (batch: readonly WindowClosed[]) =>
      windows.take(batch.map((message) => ({ message, traceparent: undefined }))),
    takeMaps: (batch: readonly EnergyMapUpdated[]) => maps.take(batch),
    stop() {
      looks.stop();
      maps.stop();
    },
    board,
    detectors,
    looks,
    outcomes,
    table,
    riskTable,
  };
}

/** The tables of this context. */
export const TABLES = [
  'resilience_cell',
  'defense_log',
  'resilience_detector',
  'phase_transition_signals',
  'thermodynamic_metrics',
] as const;

/** Everything this context keeps, in an order that does not depend on when it was written. */
export async function everythingKept(store: Store) {
  const table = createResilienceStore(store);
  const risk = createRiskStore(store);
  const byCell = <Row extends { readonly cell: { readonly cluster: string } }>(rows: readonly Row[]) =>
    [...rows].sort((a, b) => (a.cell.cluster < b.cell.cluster ? -1 : 1));
  const signals = await store
    .query<{ phase_transition_signals: { id: string; p_adjusted: number } }>()
    .selectFrom('phase_transition_signals')
    .select(['id', 'p_adjusted'])
    .orderBy('id')
    .execute();
  return {
    ...(await table.load()),
    log: await table.listLog({ recordedSinceMs: 0, limit: 5_000 }),
    looks: await risk.listLooks({ recordedSinceMs: 0, limit: 5_000 }),
    signals,
    windows: byCell(await risk.loadDetectors('windows')),
    maps: byCell(await risk.loadDetectors('maps')),
  };
}

/** Empties the tables. */
export async function emptyTables(store: Store): Promise<void> {
  await store.transact(async (tx) => {
    const query = tx.query<Record<(typeof TABLES)[number], object>>();
    for (const table of TABLES) await query.deleteFrom(table).execute();
  });
}
