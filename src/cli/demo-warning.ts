/**
 * Whether a demo's crisis was seen coming: the history of its stream's phase risk, and by how much the early warning
 * was ahead of load in raising the level of defense. Everything is in event time and from the server's own records.
 */
import { timestampMs } from '@bufbuild/protobuf/wkt';
import type { Clients } from '../client/client.ts';
import { type DefenseLogEntry, PhaseSeverity } from '../gen/homeostat/resilience/v1/resilience_service_pb.ts';
import type { PhaseRiskAssessment } from '../gen/homeostat/resilience/v1/thermodynamics_service_pb.ts';
import { riskName } from './live-state.ts';
import type { StreamName } from './stream-account.ts';

/** A change of the severity that holds. */
export interface RiskChange {
  readonly from: string;
  readonly to: string;
  /** Event time of the look that changed it, ISO 8601. */
  readonly at: string;
}

/** What the demo's report says of the early warning. */
export interface Warning {
  /** The worst severity that held; UNKNOWN when no look could say anything. */
  readonly phaseRiskMax: string;
  /** Oldest first; the first one is from UNKNOWN. */
  readonly phaseRiskChanges: readonly RiskChange[];
  /** Event time of the first change of the level at which utilization asked for more than level 1, ISO 8601. */
  readonly loadRise?: string;
  /** Likewise of phase risk; what was withdrawn again before load rose (the level fell to 1) does not count. */
  readonly riskRise?: string;
  /** From the rise by risk to the rise by load, milliseconds of event time; negative when load came first. */
  readonly warnedBeforeLoadMs?: number;
}

/** `log` is the fleet's, oldest first. */
export async function warningOf(
  clients: Clients,
  stream: StreamName,
  log: readonly DefenseLogEntry[],
): Promise<Warning> {
  return { ...riskSummary(await riskHistory(clients, stream)), ...riseOrder(log) };
}

/** The severities that held after looks given in order of time. */
export function riskSummary(
  looks: readonly Pick<PhaseRiskAssessment, 'overallSeverity' | 'at'>[],
): Pick<Warning, 'phaseRiskMax' | 'phaseRiskChanges'> {
  let worst: PhaseSeverity = PhaseSeverity.UNKNOWN;
  let held: PhaseSeverity = PhaseSeverity.UNKNOWN;
  const changes: RiskChange[] = [];
  for (const { overallSeverity: severity, at } of looks) {
    if (severity !== held) changes.push({ from: riskName(held), to: riskName(severity), at: isoTime(at) });
    held = severity;
    const isKnown = severity !== PhaseSeverity.UNKNOWN;
    if (isKnown && (worst === PhaseSeverity.UNKNOWN || severity > worst)) worst = severity;
  }
  return { phaseRiskMax: riskName(worst), phaseRiskChanges: changes };
}

/** When load and phase risk had a part in a level above 1, by the inputs of the changes, oldest first. */
export function riseOrder(
  log: readonly Pick<DefenseLogEntry, 'inputs' | 'toLevel' | 'at'>[],
): Pick<Warning, 'riskRise' | 'loadRise' | 'warnedBeforeLoadMs'> {
  const asksFor = (input: string) => (change: Pick<DefenseLogEntry, 'inputs'>) =>
    change.inputs.some(({ name, level }) => name === input && level >= 2);
  const loadPlace = log.findIndex(asksFor('utilization'));
  const before = loadPlace < 0 ? log : log.slice(0, loadPlace);
  const withdrawn = before.findLastIndex(({ toLevel }) => toLevel === 1);
  const risk = log.slice(withdrawn + 1).find(asksFor('phase_risk'))?.at;
  const load = log[loadPlace]?.at;
  return {
    ...(risk && { riskRise: isoTime(risk) }),
    ...(load && { loadRise: isoTime(load) }),
    ...(risk && load && { warnedBeforeLoadMs: timestampMs(load) - timestampMs(risk) }),
  };
}

/** The early warning in one line, for people. */
export function warningText(warning: Warning): string {
  const { phaseRiskMax, riskRise, loadRise, warnedBeforeLoadMs } = warning;
  const worst = `phase risk at most ${phaseRiskMax}`;
  if (riskRise === undefined) return `${worst}; it raised no level`;
  const raised = `${worst}; it raised the level at ${riskRise.slice(11, 16)}`;
  if (loadRise === undefined || warnedBeforeLoadMs === undefined) return `${raised}, load never did`;
  const minutes = Math.round(Math.abs(warnedBeforeLoadMs) / 60_000);
  return `${raised}, ${minutes} min ${warnedBeforeLoadMs > 0 ? 'before' : 'after'} load`;
}

/** Looks page by page; the most the service gives at a time. */
const PAGE_SIZE = 500;

async function riskHistory(clients: Clients, stream: StreamName): Promise<PhaseRiskAssessment[]> {
  const looks: PhaseRiskAssessment[] = [];
  let pageToken = '';
  do {
    const page = await clients.thermodynamics.listPhaseRiskHistory({
      scope: stream,
      page: { pageSize: PAGE_SIZE, pageToken },
    });
    looks.push(...page.assessments);
    pageToken = page.nextPageToken;
  } while (pageToken !== '');
  return looks.reverse();
}

function isoTime(at: PhaseRiskAssessment['at']): string {
  return at ? new Date(timestampMs(at)).toISOString() : '';
}
