/** Which node lies on which cell. */
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { arrange, arrangeSteps, type Layout, type PlacedNode } from '../../../src/energy/map/layout.ts';

const auto = (...names: string[]): PlacedNode[] => names.map((name) => ({ name, declared: undefined }));
const at = (name: string, row: number, col: number): PlacedNode => ({ name, declared: { row, col } });
const shape = (layout: Layout) => [layout.rows, layout.cols];

describe('an automatic layout', () => {
  test('takes nodes in byte order on ceil(sqrt n) columns', () => {
    const layout = arrange(undefined, auto('b', 'a', 'Z', 'c', 'd'));
    expect(shape(layout)).toEqual([2, 3]);
    expect(layout.cells).toEqual(['Z', 'a', 'b', 'c', 'd', '']);
    expect(layout).toMatchObject({ kind: 'AUTO', version: 1, revision: 1, conflict: false });
  });

  test('gives a new node a spare cell without a new version', () => {
    const before = arrange(undefined, auto('a', 'b', 'd', 'e', 'f'));
    const after = arrange(before, auto('a', 'b', 'c', 'd', 'e', 'f'));
    expect(after.cells).toEqual(['a', 'b', 'd', 'e', 'f', 'c']);
    expect([after.version, after.revision]).toEqual([1, 2]);
  });

  test('is made anew when it overflows, and stays the same object while nothing changes', () => {
    const before = arrange(undefined, auto('a', 'b'));
    expect(arrange(before, auto('b', 'a'))).toBe(before);
    const after = arrange(before, auto('a', 'b', 'c'));
    expect([after.version, ...shape(after)]).toEqual([2, 2, 2]);
  });

  test('keeps cells when nodes leave, until more than a quarter is empty', () => {
    const names = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i'];
    const full = arrange(undefined, auto(...names));
    const two = arrange(full, auto(...names.slice(2)));
    expect([two.version, two.cells[0], two.cells[2]]).toEqual([1, '', 'c']);
    const three = arrange(two, auto(...names.slice(3)));
    expect([three.version, ...shape(three)]).toEqual([2, 2, 3]);
  });

  test('holds every node exactly once whatever comes and goes, and is never more than a quarter empty', () => {
    const fleets = fc.array(fc.uniqueArray(fc.integer({ min: 0, max: 60 }), { minLength: 1 }), {
      minLength: 1,
    });
    fc.assert(
      fc.property(fleets, (rounds) => {
        let layout: Layout | undefined;
        for (const round of rounds) {
          const previous = layout;
          const names = round.map((n) => `n${n}`);
          layout = arrange(layout, auto(...names));
          const placed = layout.cells.filter((name) => name !== '');
          expect([...placed].sort()).toEqual([...names].sort());
          expect(layout.cells.length).toBe(layout.rows * layout.cols);
          expect((layout.cells.length - placed.length) / layout.cells.length).toBeLessThanOrEqual(0.25);
          if (previous?.version === layout.version) {
            for (const name of names.filter((one) => previous.cells.includes(one)))
              expect(layout.cells.indexOf(name)).toBe(previous.cells.indexOf(name));
          }
        }
      }),
    );
  });
});

describe('a declared layout', () => {
  test('puts nodes where they say, gaps included', () => {
    const layout = arrange(undefined, [at('a', 0, 0), at('b', 1, 2)]);
    expect(layout).toMatchObject({ kind: 'DECLARED', rows: 2, cols: 3, cells: ['a', '', '', '', '', 'b'] });
    expect(arrange(layout, [at('a', 0, 0), at('b', 1, 2)])).toBe(layout);
  });

  test('falls back to the automatic one while a node declares nothing', () => {
    const layout = arrange(undefined, [at('a', 0, 0), ...auto('b')]);
    expect(layout).toMatchObject({ kind: 'AUTO', conflict: false, cells: ['a', 'b'] });
  });

  test('a collision or a cell beyond the largest map makes it automatic and is flagged', () => {
    expect(arrange(undefined, [at('a', 1, 1), at('b', 1, 1)])).toMatchObject({
      kind: 'AUTO',
      conflict: true,
    });
    expect(arrange(undefined, [at('a', 0, 1024)])).toMatchObject({ kind: 'AUTO', conflict: true });
  });

  test('nearly empty beyond 4,096 cells makes it automatic and is flagged, until enough cells are taken', () => {
    expect(arrange(undefined, [at('a', 1023, 1023)])).toMatchObject({
      kind: 'AUTO',
      cells: ['a'],
      conflict: true,
    });
    expect(arrange(undefined, [at('a', 63, 63)])).toMatchObject({
      kind: 'DECLARED',
      rows: 64,
      conflict: false,
    });
    expect(arrange(undefined, [at('a', 0, 4), ...auto('b'), at('c', 1023, 0)])).toMatchObject({
      conflict: false,
    });
    // 64 x 65 cells, of which a sixteenth is 260.
    const corner = at('corner', 63, 64);
    const taken = (count: number) => [
      corner,
      ...Array.from({ length: count - 1 }, (_, i) => at(`n${i}`, i >> 6, i & 63)),
    ];
    const few = arrange(undefined, taken(259));
    expect(few).toMatchObject({ kind: 'AUTO', conflict: true });
    const enough = arrange(few, taken(260));
    expect(enough).toMatchObject({ kind: 'DECLARED', rows: 64, cols: 65, version: 2, conflict: false });
    expect(arrange(enough, taken(259))).toMatchObject({ kind: 'AUTO', version: 3, conflict: true });
  });

  test('grows anew on overflow, fills gaps in place, and starts anew when a node moves', () => {
    const first = arrange(undefined, [at('a', 0, 0), at('b', 1, 1)]);
    const filled = arrange(first, [at('a', 0, 0), at('b', 1, 1), at('c', 0, 1)]);
    expect([filled.version, filled.revision, filled.cells[1]]).toEqual([1, 2, 'c']);
    const grown = arrange(filled, [at('a', 0, 0), at('b', 1, 1), at('c', 2, 1)]);
    expect([grown.version, grown.rows]).toEqual([2, 3]);
    const moved = arrange(filled, [at('a', 1, 0), at('b', 1, 1), at('c', 0, 1)]);
    expect([moved.version, moved.cells]).toEqual([2, ['', 'c', 'a', 'b']]);
  });

  test('is left for the automatic one by the rule AUTO, under a new version, and come back to likewise', () => {
    const nodes = [at('b', 0, 0), at('a', 1, 1)];
    const declared = arrange(undefined, nodes);
    const automatic = arrange(declared, nodes, 'AUTO');
    expect(automatic).toMatchObject({ kind: 'AUTO', version: 2, rows: 1, cols: 2, cells: ['a', 'b'] });
    expect(arrange(automatic, nodes, 'AUTO')).toBe(automatic);
    expect(arrange(automatic, nodes, 'DECLARED')).toEqual({ ...declared, version: 3, revision: 3 });
  });

  test('counts for nothing under the rule AUTO, a collision neither', () => {
    const colliding = [at('a', 1, 1), at('b', 1, 1)];
    expect(arrange(undefined, colliding, 'AUTO')).toMatchObject({ kind: 'AUTO', conflict: false });
    const conflicting = arrange(undefined, colliding);
    expect(arrange(conflicting, colliding, 'AUTO')).toMatchObject({ version: 1, conflict: false });
  });

  test('shrinks when its outer nodes have left', () => {
    const wide = arrange(undefined, [at('a', 0, 0), at('b', 0, 9)]);
    expect(arrange(wide, [at('a', 0, 0)])).toMatchObject({ version: 2, rows: 1, cols: 1 });
  });
});

describe('the arrangement of a large fleet', () => {
  const count = 20_000;
  const nodes = (declared: boolean) =>
    Array.from({ length: count }, (_, n) => {
      const i = (n * 7919) % count;
      return { name: `n${i}`, declared: declared ? { row: i >> 8, col: i & 255 } : undefined };
    });

  test.each([false, true])('looks at few nodes between two yields, declared: %s', (declared) => {
    let looks = 0;
    const watched = nodes(declared).map(({ name, declared: cell }) => ({
      get name() {
        looks++;
        return name;
      },
      declared: cell,
    }));
    let layout: Layout | undefined;
    for (const round of [0, 1]) {
      const steps = arrangeSteps(layout, watched.slice(round));
      let most = 0;
      for (;;) {
        looks = 0;
        const step = steps.next();
        most = Math.max(most, looks);
        if (!step.done) continue;
        layout = step.value;
        break;
      }
      // Sorting a run of 512 compares each name some nine times.
      expect(most).toBeLessThan(12_000);
    }
    expect(layout!.cells.filter((name) => name !== '')).toHaveLength(count - 1);
  });
});
