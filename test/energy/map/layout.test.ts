/** Which node lies on which cell. */
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { arrange, type Layout, type PlacedNode } from '../../../src/energy/map/layout.ts';

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

  test('grows anew on overflow, fills gaps in place, and starts anew when a node moves', () => {
    const first = arrange(undefined, [at('a', 0, 0), at('b', 1, 1)]);
    const filled = arrange(first, [at('a', 0, 0), at('b', 1, 1), at('c', 0, 1)]);
    expect([filled.version, filled.revision, filled.cells[1]]).toEqual([1, 2, 'c']);
    const grown = arrange(filled, [at('a', 0, 0), at('b', 1, 1), at('c', 2, 1)]);
    expect([grown.version, grown.rows]).toEqual([2, 3]);
    const moved = arrange(filled, [at('a', 1, 0), at('b', 1, 1), at('c', 0, 1)]);
    expect([moved.version, moved.cells]).toEqual([2, ['', 'c', 'a', 'b']]);
  });

  test('shrinks when its outer nodes have left', () => {
    const wide = arrange(undefined, [at('a', 0, 0), at('b', 0, 9)]);
    expect(arrange(wide, [at('a', 0, 0)])).toMatchObject({ version: 2, rows: 1, cols: 1 });
  });
});
