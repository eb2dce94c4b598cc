/** When a cell is looked at, which severity holds after it, and the level that asks for. */
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { Cell } from '../../../src/resilience/cells/cell.ts';
import type { DefenseInput, PhaseSeverity } from '../../../src/resilience/defense/level.ts';
import type { RiskSeverity } from '../../../src/resilience/early-warning/assessment.ts';
import { severityRank } from '../../../src/resilience/early-warning/severity.ts';
import { cellKey } from '../../../src/resilience/fleet.ts';
import {
  type CellRisk,
  dueLook,
  phaseRiskInput,
  settleLook,
  takesEffect,
  UNLOOKED,
} from '../../../src/resilience/phase-risk/held-risk.ts';
import { foldPart, MINUTE_MS } from '../worlds.ts';
import { lookOf, rules } from './worlds.ts';

const U = 'UNKNOWN';
const N = 'NORMAL';
const E = 'ELEVATED';
const H = 'HIGH';
const C = 'CRITICAL';
const I = 'IMMINENT';

/** The risk after looks a quarter of an hour apart, each giving every metric its severity. */
function afterLooks(...looks: readonly Readonly<Record<string, RiskSeverity>>[]): CellRisk {
  let risk = UNLOOKED;
  for (const [index, severities] of looks.entries()) {
    const atMs = index * rules.lookMs;
    risk = settleLook({ ...risk, pending: { atMs, effectMs: atMs + 2 * MINUTE_MS } }, lookOf(severities));
  }
  return risk;
}

function ofOneMetric(...looks: readonly RiskSeverity[]): CellRisk {
  return afterLooks(...looks.map((severity) => ({ utilization: severity })));
}

describe('the severity that holds', () => {
  test.each<[RiskSeverity, RiskSeverity[]]>([
    [N, [N]],
    [N, [I]],
    [N, [N, C]],
    [H, [H, H]],
    [H, [H, N, H]],
    [H, [C, H]],
    [H, [N, H, C]],
    [C, [C, C, N]],
    [N, [C, C, N, N]],
    [N, [H, N, N, H]],
    [E, [E, H, N]],
    [I, [I, H, I]],
    [H, [H, U, H]],
    [N, [H, U, U, H]],
  ])('is %s after %j: what two of the last three looks reached', (held, looks) => {
    expect(ofOneMetric(...looks)).toMatchObject({
      severity: held,
      status: 'OK',
      metrics: { utilization: held },
    });
  });

  test('is that of the worst metric, each held by itself', () => {
    const risk = afterLooks(
      { utilization: H, load_variance: N },
      { utilization: N, load_variance: H },
      { utilization: N, load_variance: C },
    );
    expect(risk).toMatchObject({ severity: H, metrics: { utilization: N, load_variance: H } });
  });

  test('never is worse than the second worst of the last three looks, nor better', () => {
    const severities = fc.constantFrom<RiskSeverity>(U, N, E, H, C, I);
    fc.assert(
      fc.property(fc.array(severities, { minLength: 1, maxLength: 12 }), (looks) => {
        const { severity, metrics } = ofOneMetric(...looks);
        const known = looks.slice(-3).filter((one) => one !== U);
        const reached = (rank: number) => known.filter((one) => severityRank(one) >= rank).length;
        const rank = [4, 3, 2, 1].find((one) => reached(one) >= 2) ?? 0;
        expect(severityRank(metrics['utilization']!)).toBe(known.length === 0 ? -1 : rank);
        expect(severity).toBe(looks.at(-1) === U ? U : metrics['utilization']);
      }),
    );
  });

  test('a metric the look says nothing of was looked at all the same', () => {
    expect(afterLooks({ a: N, b: H }, { a: N }, { a: N }, { a: N, b: H }).metrics).toEqual({ a: N, b: N });
    expect(afterLooks({ a: N, b: H }, { a: N }, { a: N, b: H }).metrics).toEqual({ a: N, b: H });
  });

  test('a metric that was never judged holds UNKNOWN and spoils nothing', () => {
    expect(afterLooks({ a: N, b: U }, { a: N, b: U })).toMatchObject({
      severity: N,
      status: 'OK',
      metrics: { a: N, b: U },
    });
  });
});

describe('what is not known', () => {
  test('is INSUFFICIENT until a look could say anything, and UNKNOWN after', () => {
    expect(UNLOOKED).toMatchObject({ severity: U, status: 'INSUFFICIENT' });
    expect(ofOneMetric(U, U)).toMatchObject({
      severity: U,
      status: 'INSUFFICIENT',
      why: 'utilization: too few',
    });
    expect(ofOneMetric(H, H, U)).toMatchObject({
      severity: U,
      status: 'UNKNOWN',
      why: 'utilization: too few',
    });
    expect(ofOneMetric(H, H, U, U)).toMatchObject({ status: 'UNKNOWN' });
    const again = ofOneMetric(H, H, U, H);
    expect(again).toMatchObject({ severity: H, status: 'OK' });
    expect(again.why).toBeUndefined();
  });

  test('a look that failed says so, and what held before comes back with the next', () => {
    const failed = { ...lookOf({}), severity: U } as const;
    const risk = settleLook({ ...ofOneMetric(C, C), pending: { atMs: 9, effectMs: 11 } }, failed);
    expect(risk).toMatchObject({
      severity: U,
      status: 'UNKNOWN',
      why: 'no metric is reported',
      asOfMs: 9,
      recent: { utilization: [C, C, U] },
    });
    const next = settleLook({ ...risk, pending: { atMs: 12, effectMs: 14 } }, lookOf({ utilization: C }));
    expect(next).toMatchObject({ severity: C, status: 'OK' });
  });

  test('nothing takes effect that was not begun', () => {
    expect(() => settleLook(UNLOOKED, lookOf({}))).toThrow('no look is pending');
  });
});

describe('cadence', () => {
  /** The looks begun in windows that end at some minutes, each taking effect as soon as it can. */
  function looksIn(endMinutes: readonly number[], level = 1, widthMs = MINUTE_MS): number[][] {
    const begun: number[][] = [];
    let risk: CellRisk = UNLOOKED;
    for (const minute of endMinutes) {
      const window = { startMs: minute * MINUTE_MS - widthMs, endMs: minute * MINUTE_MS };
      if (risk.pending && takesEffect(risk.pending, window, rules.gridMs))
        risk = settleLook(risk, lookOf({ utilization: N }));
      const due = dueLook(risk, window, level, rules);
      if (due?.pending) {
        const { atMs, effectMs } = due.pending;
        begun.push([minute, atMs / MINUTE_MS, effectMs / MINUTE_MS]);
      }
      risk = due ?? risk;
    }
    return begun;
  }
  const minutes = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => from + i);

  test('a calm cell is looked at every quarter of an hour, in effect two minutes later', () => {
    expect(looksIn(minutes(1, 47))).toEqual([
      [15, 15, 17],
      [30, 30, 32],
      [45, 45, 47],
    ]);
  });

  test('from level 2 on every five minutes', () => {
    expect(looksIn(minutes(1, 16), 2)).toEqual([
      [5, 5, 7],
      [10, 10, 12],
      [15, 15, 17],
    ]);
  });

  test('the first window has nothing before it to see', () => {
    expect(looksIn([15, 16, 17])).toEqual([]);
    expect(looksIn([14, 15])).toEqual([[15, 15, 17]]);
  });

  test('a hole is looked back on once, from the newest instant in it', () => {
    expect(looksIn([...minutes(1, 16), ...minutes(50, 62)])).toEqual([
      [15, 15, 17],
      [50, 45, 47],
      [60, 60, 62],
    ]);
  });

  test('windows wider than the grid make the grid as wide, and a look waits for two of them', () => {
    const ends = [10, 20, 30, 40, 50, 60, 70];
    expect(looksIn(ends, 1, 10 * MINUTE_MS)).toEqual([
      [20, 15, 35],
      [40, 30, 50],
      [50, 45, 65],
      [70, 60, 80],
    ]);
  });

  test('windows that need not end where looks are still come to them', () => {
    expect(looksIn([7, 14, 21, 28, 35], 1, 7 * MINUTE_MS)).toEqual([
      [21, 15, 29],
      [35, 30, 44],
    ]);
  });

  test('a pending look takes effect with the first window two slots later, or of another grid', () => {
    const pending = { atMs: 15 * MINUTE_MS, effectMs: 17 * MINUTE_MS };
    const window = (endMinute: number, width = 1) => ({
      startMs: (endMinute - width) * MINUTE_MS,
      endMs: endMinute * MINUTE_MS,
    });
    expect(takesEffect(pending, window(16), MINUTE_MS)).toBe(false);
    expect(takesEffect(pending, window(17), MINUTE_MS)).toBe(true);
    expect(takesEffect(pending, window(40), MINUTE_MS)).toBe(true);
    expect(takesEffect(pending, window(16, 0.5), MINUTE_MS)).toBe(false);
    expect(takesEffect(pending, window(16, 2), MINUTE_MS)).toBe(true);
  });

  test('no instant is looked at twice, whatever the level does and wherever windows are missing', () => {
    const steps = fc.array(fc.tuple(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 1, max: 5 })), {
      minLength: 2,
      maxLength: 60,
    });
    fc.assert(
      fc.property(steps, (windows) => {
        let risk: CellRisk = UNLOOKED;
        let endMs = 0;
        let lastMs = -1;
        for (const [minutesOn, level] of windows) {
          endMs += minutesOn * MINUTE_MS;
          const window = { startMs: endMs - MINUTE_MS, endMs };
          if (risk.pending && takesEffect(risk.pending, window, rules.gridMs))
            risk = settleLook(risk, lookOf({}));
          const before = risk.pending;
          risk = dueLook(risk, window, level, rules) ?? risk;
          if (!risk.pending || risk.pending === before) continue;
          expect(risk.pending.atMs).toBeGreaterThan(lastMs);
          expect(risk.pending.atMs).toBeLessThanOrEqual(endMs);
          lastMs = risk.pending.atMs;
        }
      }),
    );
  });
});

describe('the input', () => {
  const other = (level: 1 | 2 | 3): DefenseInput => ({
    name: 'utilization',
    status: 'OK',
    level,
    cautiousLevel: level,
  });

  test.each<[PhaseSeverity, number, number]>([
    [N, 1, 2],
    [E, 1, 2],
    [H, 2, 2],
    [C, 4, 3],
    [I, 4, 4],
  ])('%s asks for level %d against threshold %d', (severity, level, threshold) => {
    expect(phaseRiskInput(ofOneMetric(severity, severity), [other(2)], false)).toEqual({
      name: 'phase_risk',
      status: 'OK',
      level,
      cautiousLevel: level,
      statistic: severityRank(severity),
      threshold,
    });
  });

  test('IMMINENT is an emergency when another input is at 3, or by itself where that is allowed', () => {
    const imminent = ofOneMetric(I, I);
    expect(phaseRiskInput(imminent, [other(3)], false).level).toBe(5);
    expect(phaseRiskInput(imminent, [other(1)], true).level).toBe(5);
    expect(phaseRiskInput(ofOneMetric(C, C), [other(3)], true).level).toBe(4);
  });

  test('what is INSUFFICIENT or UNKNOWN asks for nothing and says which', () => {
    expect(phaseRiskInput(UNLOOKED, [], true)).toEqual({
      name: 'phase_risk',
      status: 'INSUFFICIENT',
      level: 0,
      cautiousLevel: 0,
    });
    expect(phaseRiskInput(ofOneMetric(I, I, U), [other(3)], true)).toMatchObject({
      status: 'UNKNOWN',
      level: 0,
    });
  });
});

describe('in a cell', () => {
  const name = { domain: 'fleet', cluster: 'c1' };
  const key = cellKey(name);

  /** Folds one-minute windows that end at these minutes; `risk` stands in for what looks found before. */
  function fold(
    cells: Map<string, Cell>,
    from: number,
    to: number,
    { utilization = 0.3, endOfInput = false, risk }: Minutes = {},
  ) {
    const changes = [];
    for (let minute = from; minute <= to; minute++) {
      if (risk) cells.set(key, { ...cells.get(key)!, risk });
      const span = { startMs: (minute - 1) * MINUTE_MS, endMs: minute * MINUTE_MS };
      const reading = { node: 'a', mean: utilization, coveredSeconds: 60 };
      const part = { ...name, ...span, part: 0, parts: 1, endOfInput, nodes: 1, readings: [reading] };
      changes.push(...foldPart(cells, part, rules).changes);
    }
    return changes
      .filter(({ scope }) => scope)
      .map(({ atMs, toLevel, cause }) => [atMs / MINUTE_MS, toLevel, cause]);
  }
  interface Minutes {
    readonly utilization?: number;
    readonly endOfInput?: boolean;
    readonly risk?: CellRisk;
  }

  test('phase risk raises the level and names itself; calm lowers it after half an hour', () => {
    const cells = new Map<string, Cell>();
    fold(cells, 1, 2);
    expect(fold(cells, 3, 4, { risk: ofOneMetric(C, C) })).toEqual([[3, 4, 'phase_risk']]);
    expect(fold(cells, 5, 35, { risk: ofOneMetric(N, N) })).toEqual([[35, 3, 'hysteresis']]);
  });

  test('load and IMMINENT risk together make an emergency', () => {
    const cells = new Map<string, Cell>();
    fold(cells, 1, 2);
    expect(fold(cells, 3, 3, { risk: ofOneMetric(I, I) })).toEqual([[3, 4, 'phase_risk']]);
    expect(fold(cells, 4, 4, { risk: ofOneMetric(I, I), utilization: 0.82 })).toEqual([[4, 5, 'phase_risk']]);
  });

  test('risk that is no longer known blocks lowering, risk that never was does not', () => {
    const raised = (risk: CellRisk) => {
      const cells = new Map<string, Cell>();
      fold(cells, 1, 2, { utilization: 0.75 });
      return fold(cells, 3, 60, { risk });
    };
    expect(raised(ofOneMetric(N, U))).toEqual([]);
    expect(raised(UNLOOKED)).toEqual([[33, 1, 'hysteresis']]);
    expect(raised(ofOneMetric(N))).toEqual([[33, 1, 'hysteresis']]);
  });

  test('a stream that ends knows nothing any more, and starts afresh when it goes on', () => {
    const cells = new Map<string, Cell>();
    fold(cells, 6, 12, { utilization: 0.75 });
    expect(cells.get(key)!.risk.pending?.atMs).toBe(10 * MINUTE_MS);
    cells.set(key, { ...cells.get(key)!, risk: ofOneMetric(H, H) });
    fold(cells, 13, 13, { endOfInput: true });
    const ended = cells.get(key)!;
    expect(ended.risk).toMatchObject({
      severity: U,
      status: 'UNKNOWN',
      why: 'its stream has ended',
      recent: {},
    });
    expect(ended.inputs.find((input) => input.name === 'phase_risk')).toMatchObject({
      status: 'UNKNOWN',
      level: 0,
    });
    fold(cells, 14, 14);
    expect(cells.get(key)!.risk).toMatchObject({ status: 'INSUFFICIENT', recent: {}, metrics: {} });
  });

  test('a stream that goes on within minutes is not looked at again where it was before', () => {
    const cells = new Map<string, Cell>();
    fold(cells, 6, 11, { utilization: 0.75 });
    expect(cells.get(key)!.risk.pending?.atMs).toBe(10 * MINUTE_MS);
    fold(cells, 12, 12, { endOfInput: true });
    fold(cells, 13, 13);
    fold(cells, 14, 14, { utilization: 0.75 });
    expect(cells.get(key)!.risk.pending).toBeUndefined();
    fold(cells, 15, 15, { utilization: 0.75 });
    expect(cells.get(key)!.risk.pending?.atMs).toBe(15 * MINUTE_MS);
  });
});
