import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { type LiveState, NO_RISK } from '../../src/cli/live-state.ts';
import { heatOf, renderFrame, sparkline } from '../../src/cli/live-view.ts';
import { statusLine } from '../../src/cli/screen.ts';
import { PhaseSeverity } from '../../src/gen/homeostat/resilience/v1/resilience_service_pb.ts';

function state(changes: Partial<LiveState> = {}): LiveState {
  return {
    title: 'homeostat demo, 5 nodes, seed 1',
    part: '120x',
    progress: 0.5,
    eventTimeMs: Date.UTC(2026, 0, 31, 12, 30),
    level: 4,
    utilization: 0.87,
    ceiling: 0.8,
    heldUntilMs: Date.UTC(2026, 0, 31, 13, 0),
    risk: {
      severity: PhaseSeverity.CRITICAL,
      sinceMs: Date.UTC(2026, 0, 31, 12, 15),
      lookMs: Date.UTC(2026, 0, 31, 12, 20),
      looks: [
        PhaseSeverity.UNKNOWN,
        PhaseSeverity.NORMAL,
        PhaseSeverity.ELEVATED,
        PhaseSeverity.HIGH,
        PhaseSeverity.CRITICAL,
      ],
    },
    map: {
      rows: 2,
      cols: 3,
      values: [0, 2, 30, 20_000, 9, 0],
      nodes: ['n1', 'n2', 'n3', 'n4', 'n5', ''],
      observed: [true, true, true, true, false, false],
    },
    mapCount: 77,
    series: [
      { name: 'utilization', values: [0.5, 0.6, 0.9] },
      { name: 'energy', values: [10, 20, 1234] },
    ],
    sessions: { created: 120, live: 7, refused: 14, refusedByLevel: { 3: 4, 5: 10 } },
    telemetry: {
      offered: 1_000,
      accepted: 990,
      duplicate: 5,
      late: 3,
      rejected: 2,
      rejectedByReason: { NOT_FINITE: 2 },
    },
    log: ['first', 'second', 'last'],
    ...changes,
  };
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: that is what colors are made of.
const withoutColors = (frame: string) => frame.replace(/\x1b\[[\d;]*m/g, '');

describe('a frame of the live view', () => {
  test('shows the level, the load, the risk, the map, the series, the sessions and the account', () => {
    const frame = renderFrame(state(), 100, 30, false);
    for (const shown of [
      'homeostat demo, 5 nodes, seed 1',
      '2026-01-31T12:30:00Z  120x',
      '50 %',
      '4 MITIGATION',
      'utilization 0.87',
      'ceiling 0.80',
      'held until 13:00',
      'RISK     CRITICAL   ·▁▃▅▇  since 12:15',
      'ENERGY MAP 2 x 3 #77',
      'n1',
      '20000.0',
      'energy 1234',
      'created 120  live 7  refused 14 (level 3: 4, level 5: 10)',
      'offered 1000  accepted 990  duplicate 5  late 3  rejected 2',
      'last',
    ])
      expect(frame).toContain(shown);
  });

  test('has exactly the asked size, with and without colors, whatever the terminal', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 20, max: 220 }),
        fc.integer({ min: 8, max: 70 }),
        fc.integer({ min: 1, max: 40 }),
        fc.boolean(),
        (width, height, side, colors) => {
          const cells = side * side;
          const map = {
            rows: side,
            cols: side,
            values: Array.from({ length: cells }, (_, i) => i),
            nodes: Array.from({ length: cells }, (_, i) => `node-${i}`),
            observed: new Array<boolean>(cells).fill(true),
          };
          const frame = renderFrame(state({ map }), width, height, colors);
          if (!colors) expect(withoutColors(frame)).toBe(frame);
          const lines = withoutColors(frame).split('\n');
          expect(lines).toHaveLength(height);
          for (const line of lines) expect(line).toHaveLength(width);
        },
      ),
      { numRuns: 100 },
    );
  });

  test('colors change nothing but the style of a text', () => {
    const bare = { map: undefined };
    expect(withoutColors(renderFrame(state(bare), 90, 25, true))).toBe(
      renderFrame(state(bare), 90, 25, false),
    );
  });

  test('a hotter cell has another color, an unobserved and a spare one have none', () => {
    const frame = renderFrame(state(), 100, 30, true);
    const background = (text: string) => frame.split(text)[0]!.match(/48;5;(\d+);\d+m *$/)?.[1];
    expect(background('n1')).toBe('17');
    expect(background('n4')).toBe('220');
    expect(background('n5')).toBeUndefined();
  });

  test('colors the risk by its severity, and says so before the first look', () => {
    const styleOf = (severity: PhaseSeverity, name: string) => {
      const frame = renderFrame(state({ risk: { ...state().risk, severity } }), 100, 30, true);
      // biome-ignore lint/suspicious/noControlCharactersInRegex: that is what colors are made of.
      return frame.split(` ${name} `)[0]!.match(/RISK +\x1b\[([\d;]+)m$/)?.[1];
    };
    const styles = [
      styleOf(PhaseSeverity.NORMAL, 'NORMAL'),
      styleOf(PhaseSeverity.ELEVATED, 'ELEVATED'),
      styleOf(PhaseSeverity.HIGH, 'HIGH'),
      styleOf(PhaseSeverity.CRITICAL, 'CRITICAL'),
      styleOf(PhaseSeverity.IMMINENT, 'IMMINENT'),
      styleOf(PhaseSeverity.UNKNOWN, 'UNKNOWN'),
    ];
    expect(styles).not.toContain(undefined);
    expect(new Set(styles).size).toBe(styles.length);
    expect(renderFrame(state({ risk: NO_RISK }), 100, 30, false)).toContain('no look yet');
  });

  test('shows the newest looks where there were many', () => {
    const looks = [
      ...new Array<PhaseSeverity>(100).fill(PhaseSeverity.IMMINENT),
      ...new Array<PhaseSeverity>(40).fill(PhaseSeverity.NORMAL),
    ];
    const frame = renderFrame(state({ risk: { ...state().risk, looks } }), 100, 30, false);
    expect(frame).toContain(` ${'▁'.repeat(40)} `);
    expect(frame.split('\n').find((line) => line.includes('RISK'))).not.toContain('█');
  });

  test('says so before the first map, and when the map does not fit', () => {
    expect(renderFrame(state({ map: undefined }), 80, 24, false)).toContain('no map yet');
    const side = 60;
    const cells = side * side;
    const map = {
      rows: side,
      cols: side,
      values: new Array<number>(cells).fill(0),
      nodes: new Array<string>(cells).fill('n'),
      observed: new Array<boolean>(cells).fill(true),
    };
    expect(renderFrame(state({ map }), 80, 24, false)).toContain('does not fit');
  });

  test('keeps the newest lines of the log', () => {
    const log = Array.from({ length: 100 }, (_, i) => `event ${i}.`);
    const frame = renderFrame(state({ log }), 90, 30, false);
    expect(frame).toContain('event 99.');
    expect(frame).not.toContain('event 0.');
  });
});

test('heat rises with energy from 0 to 1', () => {
  expect(heatOf(0)).toBe(0);
  expect(heatOf(-5)).toBe(0);
  expect(heatOf(1e9)).toBe(1);
  expect(heatOf(10)).toBeGreaterThan(heatOf(5));
});

test('a sparkline is scaled to what it shows and as long as there is room', () => {
  expect(sparkline([0, 1, 2, 3, 4, 5, 6, 7], 8)).toBe('▁▂▃▄▅▆▇█');
  expect(sparkline([100, 0, 7], 2)).toBe('▁█');
  expect(sparkline([5, 5, 5], 3)).toBe('▁▁▁');
  expect(sparkline([], 10)).toBe('');
  expect(sparkline([1, 2], 0)).toBe('');
});

test('the line for logs names the part, the level and the risk', () => {
  const line = statusLine(state({ part: 'history 3 h of 8 h' }));
  expect(line).toMatch(/^2026-01-31T12:30:00Z history 3 h of 8 h {2}level 4 MITIGATION {2}risk CRITICAL /);
});
