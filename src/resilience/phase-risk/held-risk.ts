/**
 * The phase risk of one cell between two windows: when it is looked at, and the severity that holds. A severity is
 * reached by two of the last three looks, so that a single one neither raises nor lowers it.
 *
 * A look at an instant T of event time stands on what lies before T and takes effect with the first window that ends
 * two grid intervals later. In between it is computed aside, so that a stream in real time never waits for it, and a
 * replay at any rate finds the same severity at the same window. Immutable; event time, milliseconds.
 */
import {
  type DefenseInput,
  type PhaseSeverity,
  phaseRiskLevel,
  type Span,
  type StatusName,
} from '../defense/level.ts';
import type { Assessment, RiskSeverity } from '../early-warning/assessment.ts';
import { severityRank, worstSeverity } from '../early-warning/severity.ts';

/** How often a cell is looked at. */
export interface LookCadence {
  /** Least width of a grid slot. */
  readonly gridMs: number;
  /** Between two looks of a calm cell. */
  readonly lookMs: number;
  /** Between two looks of a cell at level 2 or above; at most `lookMs`. */
  readonly denseLookMs: number;
}

/** Phase risk of one cell. */
export interface CellRisk {
  /** The look last begun, or the end of the first window, before which there is nothing to see; absent before it. */
  readonly lastLookMs?: number;
  /** A look that was begun and has not taken effect. */
  readonly pending?: PendingLook;
  /** Per metric, what the last three looks said of it, the newest last. */
  readonly recent: Readonly<Record<string, readonly RiskSeverity[]>>;
  /** Per metric, the severity that holds. */
  readonly metrics: Readonly<Record<string, RiskSeverity>>;
  /** The worst of them; UNKNOWN unless the status is OK. */
  readonly severity: RiskSeverity;
  readonly status: StatusName;
  readonly why?: string;
  /** The look that took effect last. */
  readonly asOfMs?: number;
}

export interface PendingLook {
  readonly atMs: number;
  readonly effectMs: number;
}

/** The grid of a cell whose windows have a width: never finer than they are, so that no slot is empty by itself. */
export function gridInterval(gridMs: number, windowMs: number): number {
  return Math.max(gridMs, windowMs);
}

/** Nothing was looked at yet. */
export const UNLOOKED: CellRisk = {
  recent: {},
  metrics: {},
  severity: 'UNKNOWN',
  status: 'INSUFFICIENT',
  why: 'no look could say anything yet',
};

const RECENT_LOOKS = 3;
/** Grid intervals between a look and its effect. */
const EFFECT_INTERVALS = 2;

/** The look that is due when a window ends, if any; none while another is pending. */
export function dueLook(
  risk: CellRisk,
  window: Span,
  level: number,
  cadence: LookCadence,
): CellRisk | undefined {
  if (risk.pending) return undefined;
  const intervalMs = gridInterval(cadence.gridMs, window.endMs - window.startMs);
  const everyMs = level >= 2 ? cadence.denseLookMs : cadence.lookMs;
  const atMs = Math.floor(window.endMs / everyMs) * everyMs;
  if (risk.lastLookMs === undefined) return { ...risk, lastLookMs: window.endMs };
  if (atMs <= risk.lastLookMs) return undefined;
  const effectMs = atMs + EFFECT_INTERVALS * intervalMs;
  return { ...risk, lastLookMs: atMs, pending: { atMs, effectMs } };
}

/** Whether a pending look takes effect with a window; at the latest with the first one that begins another grid. */
export function takesEffect({ atMs, effectMs }: PendingLook, window: Span, gridMs: number): boolean {
  const effectOnGridMs = atMs + EFFECT_INTERVALS * gridInterval(gridMs, window.endMs - window.startMs);
  return window.endMs >= effectMs || effectOnGridMs !== effectMs;
}

/** The risk once the pending look has taken effect. A metric the look says nothing of counts as one it looked at. */
export function settleLook(risk: CellRisk, assessment: Assessment): CellRisk {
  const { pending, why: _, ...rest } = risk;
  if (!pending) throw new Error('no look is pending');
  const found = new Map(assessment.metrics.map(({ finding, severity }) => [finding.name, severity]));
  const recent: Record<string, readonly RiskSeverity[]> = {};
  const metrics: Record<string, RiskSeverity> = {};
  for (const name of new Set([...Object.keys(risk.recent), ...found.keys()])) {
    const looks = [...(risk.recent[name] ?? []), found.get(name) ?? 'UNKNOWN'].slice(-RECENT_LOOKS);
    recent[name] = looks;
    metrics[name] = reachedTwice(looks);
  }
  const judged = { ...rest, recent, metrics, asOfMs: pending.atMs };
  if (assessment.severity !== 'UNKNOWN')
    return { ...judged, severity: worstSeverity(Object.values(metrics)), status: 'OK' };
  const unusable = assessment.metrics.map(
    ({ finding }) => `${finding.name}: ${finding.why ?? finding.status}`,
  );
  return {
    ...judged,
    severity: 'UNKNOWN',
    status: risk.status === 'INSUFFICIENT' ? 'INSUFFICIENT' : 'UNKNOWN',
    why: unusable.join('; ') || 'no metric is reported',
  };
}

/** What two of the last three looks reached, UNKNOWN if none could say anything; one that could not reached nothing. */
function reachedTwice(looks: readonly RiskSeverity[]): RiskSeverity {
  const [first, second] = [...looks].sort((a, b) => severityRank(b) - severityRank(a));
  if (first === 'UNKNOWN') return 'UNKNOWN';
  return second === undefined || second === 'UNKNOWN' ? 'NORMAL' : second;
}

/** The phase risk input of a look; `others` are its other inputs, which corroborate an emergency from level 3 on. */
export function phaseRiskInput(
  risk: CellRisk,
  others: readonly DefenseInput[],
  mayDeclareAlone: boolean,
): DefenseInput {
  if (risk.status !== 'OK' || risk.severity === 'UNKNOWN')
    return { name: 'phase_risk', status: risk.status, level: 0, cautiousLevel: 0 };
  const corroborated = others.some(({ level }) => level >= 3);
  const level = phaseRiskLevel(risk.severity, { corroborated, mayDeclareAlone });
  return {
    name: 'phase_risk',
    status: 'OK',
    level,
    cautiousLevel: level,
    statistic: severityRank(risk.severity),
    threshold: severityRank(thresholdOf(risk.severity)),
  };
}

/** The severity at which the level was, or would next be, raised. */
function thresholdOf(severity: PhaseSeverity): PhaseSeverity {
  return severity === 'NORMAL' || severity === 'ELEVATED' ? 'HIGH' : severity;
}
