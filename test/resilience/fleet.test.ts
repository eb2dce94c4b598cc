/** Cells and fleet: each cell on its own event time, the fleet at the highest level of the cells that go on. */
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { Cell } from '../../src/resilience/cells/cell.ts';
import type { WindowPart } from '../../src/resilience/cells/window.ts';
import { type DefenseChange, fleetLevel } from '../../src/resilience/fleet.ts';
import { createHealthBoard } from '../../src/resilience/health.ts';
import { foldPart } from './worlds.ts';

const MINUTE_MS = 60_000;
const rules = {
  utilizationSpanMs: MINUTE_MS,
  evidenceMs: 10 * MINUTE_MS,
  holdMs: 30 * MINUTE_MS,
  unknownLooksMax: 3,
  ceiling: 0.8,
  margin: 0.02,
  gridMs: MINUTE_MS,
  lookMs: 15 * MINUTE_MS,
  denseLookMs: 5 * MINUTE_MS,
  phaseMayDeclareEmergency: false,
};

/** A window of one minute in which one node reported a utilization. */
function minute(
  cluster: string,
  index: number,
  utilization: number | undefined,
  endOfInput = false,
): WindowPart {
  return {
    domain: 'fleet',
    cluster,
    startMs: index * MINUTE_MS,
    endMs: (index + 1) * MINUTE_MS,
    part: 0,
    parts: 1,
    endOfInput,
    nodes: 1,
    readings: utilization === undefined ? [] : [{ node: 'n1', mean: utilization, coveredSeconds: 60 }],
  };
}

function fold(parts: readonly WindowPart[], cells = new Map<string, Cell>()) {
  const changes: DefenseChange[] = [];
  for (const part of parts) changes.push(...foldPart(cells, part, rules).changes);
  return { cells, changes };
}

function brief(changes: readonly DefenseChange[]) {
  return changes.map(({ scope, fromLevel, toLevel, cause }) => [
    scope?.cluster ?? '',
    fromLevel,
    toLevel,
    cause,
  ]);
}

describe('levels', () => {
  test('a fleet without cells is at level 1', () => {
    expect(fleetLevel(new Map())).toBe(1);
  });

  test('a cell that rises takes the fleet with it, at its own event time', () => {
    const { changes } = fold([minute('a', 0, 0.3), minute('b', 1000, 0.3), minute('a', 1, 0.9)]);
    expect(brief(changes)).toEqual([
      ['a', 1, 4, 'utilization'],
      ['', 1, 4, 'utilization'],
    ]);
    expect(changes.map(({ atMs }) => atMs)).toEqual([2 * MINUTE_MS, 2 * MINUTE_MS]);
    expect(changes.map(({ key }) => key)).toEqual(['fleet/a@60000', 'fleet/fleet/a@60000']);
  });

  test('a cell that rises below the fleet changes only itself', () => {
    const { changes } = fold([minute('a', 0, 0.99), minute('b', 0, 0.82)]);
    expect(brief(changes)).toEqual([
      ['a', 1, 5, 'utilization'],
      ['', 1, 5, 'utilization'],
      ['b', 1, 3, 'utilization'],
    ]);
  });

  test('the fleet falls with the last cell that held it up', () => {
    const calm = Array.from({ length: 31 }, (_, i) => i + 1);
    const { changes } = fold([
      minute('a', 0, 0.82),
      minute('b', 0, 0.82),
      ...calm.map((index) => minute('a', index, 0.1)),
      ...calm.map((index) => minute('b', index, 0.1)),
    ]);
    expect(brief(changes).slice(3)).toEqual([
      ['a', 3, 2, 'hysteresis'],
      ['b', 3, 2, 'hysteresis'],
      ['', 3, 2, 'hysteresis'],
    ]);
  });

  test('a stream that ends takes its level away at once', () => {
    const { cells, changes } = fold([minute('a', 0, 0.99), minute('b', 0, 0.75), minute('a', 1, 0.99, true)]);
    expect(brief(changes).slice(-2)).toEqual([
      ['a', 5, 1, 'end_of_input'],
      ['', 5, 2, 'end_of_input'],
    ]);
    expect(fleetLevel(cells)).toBe(2);
    expect(fleetLevel(fold([minute('b', 1, 0.75, true)], cells).cells)).toBe(1);
  });

  test('a rise in the last window of a stream is logged for the cell and spares the fleet', () => {
    const { changes } = fold([minute('a', 0, 0.99, true)]);
    expect(brief(changes)).toEqual([
      ['a', 1, 5, 'utilization'],
      ['a', 5, 1, 'end_of_input'],
    ]);
    expect(new Set(changes.map(({ key }) => key)).size).toBe(2);
  });

  test('a stream that goes on after its end starts afresh', () => {
    const { cells, changes } = fold([minute('a', 0, 0.99, true), minute('a', 1, undefined)]);
    expect(cells.get('fleet/a')).toMatchObject({ ended: false, utilization: { status: 'NOT_CONFIGURED' } });
    expect(brief(fold([minute('a', 2, 0.75)], cells).changes)).toEqual([
      ['a', 1, 2, 'utilization'],
      ['', 1, 2, 'utilization'],
    ]);
    expect(changes).toHaveLength(2);
  });

  test('a window without nodes ends the stream and is no look', () => {
    const { cells } = fold([minute('a', 0, 0.99)]);
    const closing = { ...minute('a', 1, undefined, true), nodes: 0 };
    expect(foldPart(cells, closing, rules)).toMatchObject({
      looks: [],
      changes: [{ toLevel: 1 }, { toLevel: 1 }],
    });
    expect(cells.get('fleet/a')).toMatchObject({ ended: true, asOfMs: MINUTE_MS });
    expect(foldPart(cells, closing, rules).changes).toEqual([]);
  });

  test('utilization gone dark for three looks raises to 2', () => {
    const dark = [2, 3, 4].map((index) => minute('a', index, undefined));
    const { changes } = fold([minute('a', 0, 0.5), minute('a', 1, 0.5), ...dark]);
    expect(brief(changes)).toEqual([
      ['a', 1, 2, 'utilization'],
      ['', 1, 2, 'utilization'],
    ]);
    expect(changes[0]!.inputs[0]).toMatchObject({ name: 'utilization', status: 'UNKNOWN', level: 0 });
  });

  test('the fleet is always the highest of the cells that go on, and its log leads there step by step', () => {
    const events = fc.array(
      fc.record({
        cluster: fc.constantFrom('a', 'b', 'c'),
        utilization: fc.option(fc.double({ min: 0, max: 1.1, noNaN: true }), { nil: undefined }),
        ends: fc.integer({ min: 0, max: 9 }).map((die) => die === 0),
      }),
      { maxLength: 60 },
    );
    fc.assert(
      fc.property(events, (stream) => {
        const cells = new Map<string, Cell>();
        const logged = new Map<string, number>();
        for (const [index, { cluster, utilization, ends }] of stream.entries()) {
          const { changes } = foldPart(cells, minute(cluster, index, utilization, ends), rules);
          for (const { scope, fromLevel, toLevel } of changes) {
            const name = scope?.cluster ?? '';
            expect(fromLevel).toBe(logged.get(name) ?? 1);
            logged.set(name, toLevel);
          }
          expect(logged.get('') ?? 1).toBe(fleetLevel(cells));
          for (const cell of cells.values()) expect(logged.get(cell.name.cluster) ?? 1).toBe(cell.held.level);
        }
      }),
    );
  });
});

describe('health', () => {
  const boardOf = (parts: readonly WindowPart[]) => {
    const board = createHealthBoard(rules);
    board.show(fold(parts).cells);
    return board;
  };

  test('of an empty fleet says that nothing is configured', () => {
    const health = createHealthBoard(rules).fleet();
    expect(health).toMatchObject({
      defense: { level: 1 },
      utilization: { status: 'NOT_CONFIGURED' },
      servedShare: { status: 'NOT_CONFIGURED' },
      ceiling: { status: 'OK', value: 0.8 },
      cells: [],
    });
    expect(health.defense.inputs.map(({ name, status }) => [name, status])).toEqual(
      ['utilization', 'served_share', 'contingency', 'homeostasis', 'node_load', 'phase_risk'].map((name) => [
        name,
        'NOT_CONFIGURED',
      ]),
    );
  });

  test('of the fleet is the mean of the cells that go on, explained by the cell that leads', () => {
    const board = boardOf([minute('b', 5, 0.9), minute('a', 0, 0.3), minute('c', 9, 0.99, true)]);
    const health = board.fleet();
    expect(health.utilization.value).toBeCloseTo(0.6, 12);
    expect(health.defense).toMatchObject({ level: 4, asOfMs: 6 * MINUTE_MS });
    expect(health.defense.scope).toBeUndefined();
    expect(health.defense.heldUntilMs).toBe(36 * MINUTE_MS);
    expect(health.defense.inputs[0]).toMatchObject({ statistic: 0.9, threshold: expect.closeTo(0.85, 12) });
    expect(health.cells.map(({ name, ended }) => [name.cluster, ended])).toEqual([
      ['a', false],
      ['b', false],
      ['c', true],
    ]);
  });

  test('a cell obeys the higher of its own level and the fleet, and says whose it is', () => {
    const board = boardOf([minute('a', 0, 0.3), minute('b', 0, 0.9)]);
    const calm = board.health({ domain: 'fleet', cluster: 'a' })!;
    expect(calm.defense.level).toBe(4);
    expect(calm.defense.scope).toBeUndefined();
    expect(calm.cells[0]!.defense).toMatchObject({ level: 1, scope: { cluster: 'a' } });
    const hot = board.health({ domain: 'fleet', cluster: 'b' })!;
    expect(hot.defense).toMatchObject({ level: 4, scope: { cluster: 'b' } });
  });

  test('of an unknown cell is nothing', () => {
    const board = boardOf([minute('a', 0, 0.3)]);
    expect(board.health({ domain: 'fleet', cluster: 'zz' })).toBeUndefined();
    expect(board.token({ domain: 'fleet', cluster: 'zz' })).toBeUndefined();
  });

  test('a token changes exactly when the health it names does', () => {
    const stream = [
      minute('a', 0, 0.3),
      minute('b', 0, 0.3),
      minute('a', 1, 0.3),
      minute('b', 1, 0.9),
      minute('b', 2, 0.1),
      minute('b', 3, 0.1, true),
      minute('a', 2, 0.3),
    ];
    const cells = new Map<string, Cell>();
    const board = createHealthBoard(rules);
    const scopes = [undefined, { domain: 'fleet', cluster: 'a' }, { domain: 'fleet', cluster: 'b' }];
    const seen = scopes.map(() => ({ token: '', health: '' }));
    for (const part of stream) {
      foldPart(cells, part, rules);
      board.show(new Map(cells));
      for (const [index, scope] of scopes.entries()) {
        const now = { token: board.token(scope) ?? '', health: JSON.stringify(board.health(scope)) ?? '' };
        expect(now.token === seen[index]!.token).toBe(now.health === seen[index]!.health);
        seen[index] = now;
      }
    }
  });
});
