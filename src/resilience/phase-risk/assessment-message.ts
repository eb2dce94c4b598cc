/** Assessments in the contract's words: those of a cell's looks, and those of series a request brings. */
import type { DescMessage, Message, MessageInitShape } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import { PhaseSeverity, Status } from '../../gen/homeostat/resilience/v1/resilience_service_pb.ts';
import type {
  IndicatorSchema,
  MetricRiskSchema,
  PhaseRiskAssessmentSchema,
  PhaseSignalSchema,
} from '../../gen/homeostat/resilience/v1/thermodynamics_service_pb.ts';
import type { CellName } from '../cells/cell.ts';
import type { AssessedMetric, Assessment, RiskSeverity, Signal } from '../early-warning/assessment.ts';
import type { Indicator } from '../early-warning/indicators.ts';
import { recommendationsFor } from './recommendation.ts';

/** Ways to tip that rising variance and slowing recovery do not announce. */
export const NOT_COVERED = ['SHOCK', 'RATE_INDUCED', 'NOISE_INDUCED', 'RISING_NOISE_COLOR'] as const;

/** A look of a cell once it has taken effect. */
export interface SettledLook {
  readonly id: string;
  readonly scope: CellName;
  readonly atMs: number;
  readonly recordedAtMs: number;
  /** The severity that holds, per metric and in all. */
  readonly held: Readonly<Record<string, RiskSeverity>>;
  readonly severity: RiskSeverity;
  readonly why?: string;
  readonly seed: number;
  readonly assessment: Assessment;
}

/** Fields of a message to make, not a message made already: only those can be spread. */
type InitShape<Desc extends DescMessage> = Exclude<MessageInitShape<Desc>, Message>;

/** A look of a cell. */
export function lookToProto(look: SettledLook): InitShape<typeof PhaseRiskAssessmentSchema> {
  const body = assessmentToProto(look.assessment, { source: 'live', seed: look.seed });
  return {
    ...body,
    id: look.id,
    scope: look.scope,
    at: timestampFromMs(look.atMs),
    recordedAt: timestampFromMs(look.recordedAtMs),
    overallSeverity: PhaseSeverity[look.severity],
    why: look.why ?? '',
    metrics: look.assessment.metrics.map((metric) =>
      metricToProto(metric, look.held[metric.finding.name] ?? metric.severity),
    ),
    recommendations: recommendationsFor(look.severity, look.assessment),
    basis: { ...body.basis, asOf: timestampFromMs(look.atMs) },
  };
}

/** An assessment of series, each standing on its own. */
export function assessmentToProto(
  assessment: Assessment,
  basis: { readonly source: 'request' | 'live'; readonly seed: number },
): InitShape<typeof PhaseRiskAssessmentSchema> {
  const { severity, metrics } = assessment;
  const unusable = metrics.map(({ finding }) => `${finding.name}: ${finding.why ?? finding.status}`);
  return {
    overallSeverity: PhaseSeverity[severity],
    lookSeverity: PhaseSeverity[severity],
    why: severity === 'UNKNOWN' ? unusable.join('; ') || 'no metric is reported' : '',
    metrics: metrics.map((metric) => metricToProto(metric, metric.severity)),
    signals: metrics
      .flatMap(({ signals }) => signals)
      .filter(({ pAdjusted }) => pAdjusted <= assessment.alpha)
      .sort((a, b) => a.pAdjusted - b.pAdjusted || b.value - a.value)
      .map(signalToProto),
    recommendations: recommendationsFor(severity, assessment),
    notCovered: [...NOT_COVERED],
    basis: {
      source: basis.source,
      samples: metrics.reduce((sum, { finding }) => sum + finding.samples, 0),
      seed: BigInt(basis.seed),
      alpha: assessment.alpha,
      tests: assessment.tests,
    },
  };
}

function metricToProto(
  metric: AssessedMetric,
  held: RiskSeverity,
): MessageInitShape<typeof MetricRiskSchema> {
  const { finding, severity, signals } = metric;
  return {
    metric: finding.name,
    status: Status[finding.status],
    why: finding.why ?? '',
    severity: PhaseSeverity[held],
    lookSeverity: PhaseSeverity[severity],
    samples: finding.samples,
    tests: signals.map(signalToProto),
    indicators: finding.indicators.map(indicatorToProto),
  };
}

function signalToProto(signal: Signal): MessageInitShape<typeof PhaseSignalSchema> {
  return {
    family: signal.family,
    metric: signal.metric,
    severity: PhaseSeverity[signal.severity],
    value: signal.value,
    threshold: signal.threshold,
    p: signal.p,
    pAdjusted: signal.pAdjusted,
    window: signal.windowSamples,
    surrogates: signal.surrogates,
    description: signal.description,
  };
}

function indicatorToProto(indicator: Indicator): MessageInitShape<typeof IndicatorSchema> {
  const { name, unit, value, tau } = indicator;
  // Squares of huge values overflow; what is not finite does not travel.
  return { name, unit, ...(Number.isFinite(value) && { value: value! }), ...(tau !== undefined && { tau }) };
}
