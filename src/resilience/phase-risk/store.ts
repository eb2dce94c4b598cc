/**
 * What early warnings keep: the detectors as of the last commit (`resilience_detector`, one row per cell and feed) and
 * the looks that took effect (`thermodynamic_metrics`, with the tests that alarmed in `phase_transition_signals`).
 * Times are milliseconds since 1970; `place` numbers the looks from 1 in the order they took effect.
 */
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import {
  type PhaseRiskAssessment,
  PhaseRiskAssessmentSchema,
} from '../../gen/homeostat/resilience/v1/thermodynamics_service_pb.ts';
import { derivedId } from '../../ids.ts';
import type { Store, Tx } from '../../store/store.ts';
import type { CellName } from '../cells/cell.ts';
import type { RiskSeverity } from '../early-warning/assessment.ts';
import { lookToProto, type SettledLook } from './assessment-message.ts';
import type { DetectorState } from './detector.ts';
import type { Feed } from './standing-metrics.ts';

interface DetectorRow {
  domain: string;
  cluster: string;
  feed: string;
  /** The detector as JSON. */
  state: string;
  /** Wall time. */
  updated_at: number;
}

/** Figures nobody computes yet are absent from the table's writers and null in its rows. */
interface MetricsRow {
  id: string;
  place: number;
  /** Event time. */
  timestamp: number;
  /** Wall time. */
  recorded_at: number;
  domain: string;
  cluster: string;
  phase_transition_severity: string | null;
  computed_by: string;
  notes: string | null;
  /** The whole assessment, as the contract encodes it. */
  assessment: Uint8Array;
}

interface SignalRow {
  id: string;
  metric_id: string;
  /** Event time. */
  detected_at: number;
  signal_type: string;
  metric_name: string;
  severity: string;
  value: number;
  threshold: number;
  p_value: number;
  p_adjusted: number;
  description: string;
}

interface RiskTables {
  resilience_detector: DetectorRow;
  thermodynamic_metrics: MetricsRow;
  phase_transition_signals: SignalRow;
}

/** A detector to save, or as it was saved. */
export interface SavedDetector {
  readonly cell: CellName;
  readonly state: DetectorState;
}

/** Which looks are wanted. */
export interface LookFilter {
  readonly scope?: CellName;
  readonly severity?: RiskSeverity;
  readonly recordedSinceMs: number;
  /** Only looks before this place. */
  readonly beforePlace?: number;
  readonly limit: number;
}

export interface RiskStore {
  /** Detectors of a feed as of the last commit. */
  loadDetectors(feed: Feed): Promise<readonly SavedDetector[]>;
  saveDetectors(tx: Tx, feed: Feed, detectors: readonly SavedDetector[], nowMs: number): Promise<void>;
  /** Place of the last look; 0 before the first. */
  lastPlace(): Promise<number>;
  /** Writes a look at a place; returns it as it reads from then on. */
  addLook(tx: Tx, place: number, look: SettledLook): Promise<PhaseRiskAssessment>;
  /** Looks, newest first, and how many there are in all. */
  listLooks(filter: LookFilter): Promise<{
    readonly looks: readonly { readonly place: number; readonly assessment: PhaseRiskAssessment }[];
    readonly count: number;
  }>;
  /** The newest look of a cell. */
  latestLook(cell: CellName): Promise<PhaseRiskAssessment | undefined>;
  /** Drops looks recorded before an instant. */
  pruneLooks(recordedBeforeMs: number): Promise<void>;
}

/** Needs the migrations applied. */
export function createRiskStore(store: Store): RiskStore {
  return { ...detectorQueries(store), ...lookCommands(store), ...lookQueries(store) };
}

function detectorQueries(store: Store): Pick<RiskStore, 'loadDetectors' | 'saveDetectors'> {
  return {
    async loadDetectors(feed) {
      const rows = await store
        .query<RiskTables>()
        .selectFrom('resilience_detector')
        .select(['domain', 'cluster', 'state'])
        .where('feed', '=', feed)
        .execute();
      return rows.map(({ domain, cluster, state }) => ({
        cell: { domain, cluster },
        state: JSON.parse(state) as DetectorState,
      }));
    },

    async saveDetectors(tx, feed, detectors, nowMs) {
      if (detectors.length === 0) return;
      await tx
        .query<RiskTables>()
        .insertInto('resilience_detector')
        .values(
          detectors.map(({ cell, state }) => ({
            domain: cell.domain,
            cluster: cell.cluster,
            feed,
            state: JSON.stringify(state),
            updated_at: nowMs,
          })),
        )
        .onConflict((conflict) =>
          conflict.columns(['domain', 'cluster', 'feed']).doUpdateSet((row) => ({
            state: row.ref('excluded.state'),
            updated_at: row.ref('excluded.updated_at'),
          })),
        )
        .execute();
    },
  };
}

function lookCommands(store: Store): Pick<RiskStore, 'addLook' | 'pruneLooks'> {
  return {
    async addLook(tx, place, look) {
      const query = tx.query<RiskTables>();
      const assessment = create(PhaseRiskAssessmentSchema, lookToProto(look));
      await query
        .insertInto('thermodynamic_metrics')
        .values({
          id: look.id,
          place,
          timestamp: look.atMs,
          recorded_at: look.recordedAtMs,
          ...look.scope,
          phase_transition_severity: look.severity,
          computed_by: 'early-warning',
          notes: look.why ?? null,
          assessment: toBinary(PhaseRiskAssessmentSchema, assessment),
        })
        .execute();
      const signals = signalRows(look);
      if (signals.length > 0) await query.insertInto('phase_transition_signals').values(signals).execute();
      return assessment;
    },

    async pruneLooks(recordedBeforeMs) {
      // Their signals go with them.
      await store.transact((tx) =>
        tx
          .query<RiskTables>()
          .deleteFrom('thermodynamic_metrics')
          .where('recorded_at', '<', recordedBeforeMs)
          .execute(),
      );
    },
  };
}

function lookQueries(store: Store): Pick<RiskStore, 'lastPlace' | 'listLooks' | 'latestLook'> {
  return {
    async lastPlace() {
      const last = await store
        .query<RiskTables>()
        .selectFrom('thermodynamic_metrics')
        .select((columns) => columns.fn.max('place').as('place'))
        .executeTakeFirst();
      return last?.place ?? 0;
    },

    async listLooks(filter) {
      const { scope, severity, beforePlace } = filter;
      let wanted = store
        .query<RiskTables>()
        .selectFrom('thermodynamic_metrics')
        .where('recorded_at', '>=', filter.recordedSinceMs);
      if (scope) wanted = wanted.where('domain', '=', scope.domain).where('cluster', '=', scope.cluster);
      if (severity) wanted = wanted.where('phase_transition_severity', '=', severity);
      const { count } = await wanted
        .select((columns) => columns.fn.countAll<number>().as('count'))
        .executeTakeFirstOrThrow();
      if (beforePlace !== undefined) wanted = wanted.where('place', '<', beforePlace);
      const rows = await wanted
        .select(['place', 'assessment'])
        .orderBy('place', 'desc')
        .limit(filter.limit)
        .execute();
      return {
        count: Number(count),
        looks: rows.map(({ place, assessment }) => ({ place, assessment: readLook(assessment) })),
      };
    },

    async latestLook({ domain, cluster }) {
      const row = await store
        .query<RiskTables>()
        .selectFrom('thermodynamic_metrics')
        .select('assessment')
        .where('domain', '=', domain)
        .where('cluster', '=', cluster)
        .orderBy('place', 'desc')
        .limit(1)
        .executeTakeFirst();
      return row && readLook(row.assessment);
    },
  };
}

function readLook(bytes: Uint8Array): PhaseRiskAssessment {
  return fromBinary(PhaseRiskAssessmentSchema, bytes);
}

/** The tests that alarmed. */
function signalRows({ id, atMs, assessment }: SettledLook): SignalRow[] {
  return assessment.metrics
    .flatMap(({ signals }) => signals)
    .filter(({ pAdjusted }) => pAdjusted <= assessment.alpha)
    .map((signal) => ({
      id: derivedId('phase-signal', id, signal.metric, signal.family),
      metric_id: id,
      detected_at: atMs,
      signal_type: signal.family,
      metric_name: signal.metric,
      severity: signal.severity,
      value: signal.value,
      threshold: signal.threshold,
      p_value: signal.p,
      p_adjusted: signal.pAdjusted,
      description: signal.description,
    }));
}
