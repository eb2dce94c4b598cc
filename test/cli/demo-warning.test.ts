import { create } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import { describe, expect, test } from '@jest/globals';
import { riseOrder, riskSummary, warningText } from '../../src/cli/demo-warning.ts';
import {
  type DefenseLogEntry,
  DefenseLogEntrySchema,
  PhaseSeverity,
} from '../../src/gen/homeostat/resilience/v1/resilience_service_pb.ts';

const HOUR_MS = 3_600_000;
const day = Date.UTC(2026, 0, 31);
const time = (hours: number) => new Date(day + hours * HOUR_MS).toISOString();

/** A change at an hour of the day, by the levels that two of its inputs ask for. */
function change(hours: number, utilization: number, phaseRisk: number): DefenseLogEntry {
  return create(DefenseLogEntrySchema, {
    at: timestampFromMs(day + hours * HOUR_MS),
    toLevel: Math.max(1, utilization, phaseRisk),
    inputs: [
      { name: 'utilization', level: utilization },
      { name: 'contingency', level: 0 },
      { name: 'phase_risk', level: phaseRisk },
    ],
  });
}

describe('the history of phase risk', () => {
  test('keeps the changes and the worst severity, and takes UNKNOWN for no severity', () => {
    const { UNKNOWN, NORMAL, HIGH, ELEVATED } = PhaseSeverity;
    const looks = [UNKNOWN, NORMAL, NORMAL, HIGH, HIGH, UNKNOWN, ELEVATED].map((overallSeverity, hours) => ({
      overallSeverity,
      at: timestampFromMs(day + hours * HOUR_MS),
    }));
    expect(riskSummary(looks)).toEqual({
      phaseRiskMax: 'HIGH',
      phaseRiskChanges: [
        { from: 'UNKNOWN', to: 'NORMAL', at: time(1) },
        { from: 'NORMAL', to: 'HIGH', at: time(3) },
        { from: 'HIGH', to: 'UNKNOWN', at: time(5) },
        { from: 'UNKNOWN', to: 'ELEVATED', at: time(6) },
      ],
    });
  });

  test('is UNKNOWN where no look could say anything', () => {
    expect(riskSummary([])).toEqual({ phaseRiskMax: 'UNKNOWN', phaseRiskChanges: [] });
  });
});

describe('what raised the level first', () => {
  test('is phase risk, by the time until load had a part in it', () => {
    const log = [change(3, 1, 2), change(3.5, 1, 4), change(4, 0, 3), change(5, 5, 4)];
    expect(riseOrder(log)).toEqual({
      riskRise: time(3),
      loadRise: time(5),
      warnedBeforeLoadMs: 2 * HOUR_MS,
    });
  });

  test('is load, where phase risk followed', () => {
    expect(riseOrder([change(3, 2, 1), change(4, 3, 4)]).warnedBeforeLoadMs).toBe(-HOUR_MS);
  });

  test('is phase risk as it stood: a warning withdrawn before load rose is none', () => {
    const lapsed = [change(1, 1, 3), change(2, 1, 1)];
    expect(riseOrder([...lapsed, change(4, 1, 2), change(5, 2, 2)])).toMatchObject({
      riskRise: time(4),
      warnedBeforeLoadMs: HOUR_MS,
    });
    expect(riseOrder([...lapsed, change(5, 2, 1)])).toEqual({ loadRise: time(5) });
  });

  test('is neither alone, where both asked for more at once', () => {
    expect(riseOrder([change(3, 2, 2)]).warnedBeforeLoadMs).toBe(0);
  });

  test('is left out where one of them never did', () => {
    expect(riseOrder([change(3, 1, 2)])).toEqual({ riskRise: time(3) });
    expect(riseOrder([change(3, 2, 0)])).toEqual({ loadRise: time(3) });
    expect(riseOrder([])).toEqual({});
  });
});

test('the line for people says by how much the warning came first, or that it did not', () => {
  const risk = { phaseRiskMax: 'CRITICAL', phaseRiskChanges: [] };
  const text = (...log: DefenseLogEntry[]) => warningText({ ...risk, ...riseOrder(log) });
  expect(text(change(14, 1, 2), change(14.5, 2, 2))).toBe(
    'phase risk at most CRITICAL; it raised the level at 14:00, 30 min before load',
  );
  expect(text(change(14, 2, 1), change(14.5, 2, 2))).toBe(
    'phase risk at most CRITICAL; it raised the level at 14:30, 30 min after load',
  );
  expect(text(change(14, 1, 2))).toBe(
    'phase risk at most CRITICAL; it raised the level at 14:00, load never did',
  );
  expect(text(change(14, 2, 1))).toBe('phase risk at most CRITICAL; it raised no level');
});
