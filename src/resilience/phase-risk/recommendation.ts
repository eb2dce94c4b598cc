/** What people are advised to do about a phase risk. */
import type { Assessment, RiskSeverity } from '../early-warning/assessment.ts';

/** Most urgent first; nothing below ELEVATED. */
export function recommendationsFor(severity: RiskSeverity, assessment: Assessment): string[] {
  const alarmed = assessment.metrics
    .filter(({ signals }) => signals.some(({ pAdjusted }) => pAdjusted <= assessment.alpha))
    .map(({ finding }) => finding.name);
  const metrics = alarmed.length > 0 ? alarmed.join(', ') : 'the metrics that alarmed lately';
  const watch = `compare ${metrics} with what changed in the fleet over the hours before`;
  switch (severity) {
    case 'ELEVATED':
      return [watch];
    case 'HIGH':
      return ['postpone rollouts, drains and other voluntary moves', watch];
    case 'CRITICAL':
      return [
        'take load off or add capacity now: recovery from small disturbances has slowed to half',
        'postpone rollouts, drains and other voluntary moves',
        watch,
      ];
    case 'IMMINENT':
      return [
        'shed load at once: recovery has slowed to half and a limit is near',
        'stop rollouts, drains and other voluntary moves',
        watch,
      ];
    default:
      return [];
  }
}
