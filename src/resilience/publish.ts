/**
 * This context's facts in the contract's words, and their events: level changes, recorded in the transaction that
 * stores them, and the health of the fleet, transient.
 */
import type { MessageInitShape } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import type { Bus } from '../bus/bus.ts';
import { topics } from '../bus/topics.ts';
import type { Clock, Timer } from '../clock.ts';
import type { ResilienceAlertRaisedSchema } from '../gen/homeostat/resilience/v1/resilience_events_pb.ts';
import {
  type DefenseInputSchema,
  type DefenseLogEntrySchema,
  type DefenseStateSchema,
  type EstimateSchema,
  type HealthReportSchema,
  type PhaseRiskSchema,
  PhaseSeverity,
  Status,
} from '../gen/homeostat/resilience/v1/resilience_service_pb.ts';
import type { PhaseRiskAssessment } from '../gen/homeostat/resilience/v1/thermodynamics_service_pb.ts';
import type { Tx } from '../store/store.ts';
import type { CellName } from './cells/cell.ts';
import type { DefenseInput, Figure } from './defense/level.ts';
import type { Defense, Health, HealthBoard, PhaseRisk } from './health.ts';
import type { LogEntry } from './store.ts';

/** Records `DefenseLevelChanged` for a log entry; the change's key makes the event's id. */
export async function recordLevelChange(
  bus: Pick<Bus, 'record'>,
  tx: Tx,
  key: string,
  entry: LogEntry,
  traceparent: string | undefined,
): Promise<void> {
  await bus.record(tx, topics.defenseLevelChanged, key, { change: logEntryToProto(entry) }, traceparent);
}

/** Records `PhaseRiskAssessed`; the id of the assessment makes the event's. */
export async function recordAssessment(
  bus: Pick<Bus, 'record'>,
  tx: Tx,
  assessment: PhaseRiskAssessment,
  traceparent: string | undefined,
): Promise<void> {
  await bus.record(tx, topics.phaseRiskAssessed, assessment.id, { assessment }, traceparent);
}

/** Records `ResilienceAlertRaised` for an assessment that is CRITICAL or worse. */
export async function recordAlert(
  bus: Pick<Bus, 'record'>,
  tx: Tx,
  assessment: PhaseRiskAssessment,
  traceparent: string | undefined,
): Promise<void> {
  const { id, scope, at, overallSeverity, recommendations, signals } = assessment;
  const alert: MessageInitShape<typeof ResilienceAlertRaisedSchema> = {
    id,
    kind: 'PHASE_RISK',
    severity: overallSeverity,
    description: signals.map(({ description }) => description).join('; '),
    recommendations,
    ...(scope && { scope }),
    ...(at && { at }),
  };
  await bus.record(tx, topics.resilienceAlertRaised, id, alert, traceparent);
}

/** Announces the fleet's health. */
export interface HealthFeed {
  /** Stops, publishing what is still owed. */
  stop(): void;
}

/**
 * Publishes `HealthUpdated` now and whenever the board shows a new state, at most once per interval of wall time; the
 * newest state always goes out in the end.
 */
export function startHealthFeed(
  bus: Pick<Bus, 'publish'>,
  clock: Clock,
  board: HealthBoard,
  intervalMs: number,
): HealthFeed {
  let pause: Timer | undefined;
  let owed = false;
  const send = () => {
    bus.publish(topics.healthUpdated, 'fleet', { health: healthToProto(board.fleet()) });
  };
  const sendAndPause = () => {
    owed = false;
    send();
    pause = clock.after(intervalMs, endPause, true);
  };
  const endPause = () => {
    pause = undefined;
    if (owed) sendAndPause();
  };
  const stopListening = board.onShow(() => {
    if (pause) owed = true;
    else sendAndPause();
  });
  sendAndPause();
  return {
    stop() {
      stopListening();
      pause?.cancel();
      if (owed) send();
    },
  };
}

/** A health report in the contract's words. */
export function healthToProto(health: Health): MessageInitShape<typeof HealthReportSchema> {
  const ceiling = figureToProto(health.ceiling);
  return {
    scope: scopeToProto(health.scope),
    defense: defenseToProto(health.defense),
    utilization: figureToProto(health.utilization),
    ceiling,
    servedShare: figureToProto(health.servedShare),
    phaseRisk: riskToProto(health.phaseRisk),
    cells: health.cells.map((cell) => ({
      cell: cell.name,
      defense: defenseToProto(cell.defense),
      utilization: figureToProto(cell.utilization),
      ceiling,
      ended: cell.ended,
      phaseRisk: riskToProto(cell.phaseRisk),
    })),
    ...(health.asOfMs !== undefined && { asOf: timestampFromMs(health.asOfMs) }),
  };
}

function riskToProto(risk: PhaseRisk): MessageInitShape<typeof PhaseRiskSchema> {
  return {
    severity: PhaseSeverity[risk.severity],
    status: Status[risk.status],
    why: risk.why ?? '',
    ...(risk.asOfMs !== undefined && { asOf: timestampFromMs(risk.asOfMs) }),
  };
}

/** A level and its inputs in the contract's words. */
export function defenseToProto(defense: Defense): MessageInitShape<typeof DefenseStateSchema> {
  return {
    scope: scopeToProto(defense.scope),
    level: defense.level,
    inputs: defense.inputs.map(inputToProto),
    ...(defense.heldUntilMs !== undefined && { heldUntil: timestampFromMs(defense.heldUntilMs) }),
    ...(defense.asOfMs !== undefined && { asOf: timestampFromMs(defense.asOfMs) }),
  };
}

/** A logged change in the contract's words. */
export function logEntryToProto(entry: LogEntry): MessageInitShape<typeof DefenseLogEntrySchema> {
  return {
    id: entry.id,
    scope: scopeToProto(entry.scope),
    fromLevel: entry.fromLevel,
    toLevel: entry.toLevel,
    at: timestampFromMs(entry.atMs),
    recordedAt: timestampFromMs(entry.recordedAtMs),
    inputs: entry.inputs.map(inputToProto),
    cause: entry.cause,
  };
}

function inputToProto(input: DefenseInput): MessageInitShape<typeof DefenseInputSchema> {
  const { window } = input;
  return {
    name: input.name,
    level: input.level,
    status: Status[input.status],
    ...(input.statistic !== undefined && { statistic: input.statistic }),
    ...(input.threshold !== undefined && { threshold: input.threshold }),
    ...(window && {
      window: { start: timestampFromMs(window.startMs), end: timestampFromMs(window.endMs) },
    }),
  };
}

function figureToProto(figure: Figure): MessageInitShape<typeof EstimateSchema> {
  return {
    unit: '1',
    status: Status[figure.status],
    why: figure.why ?? '',
    ...(figure.value !== undefined && { value: figure.value }),
  };
}

/** The fleet is the scope with nothing in it. */
function scopeToProto(scope: CellName | undefined): CellName {
  return { domain: scope?.domain ?? '', cluster: scope?.cluster ?? '' };
}
