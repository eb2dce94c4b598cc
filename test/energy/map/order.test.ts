/** Sorting nodes in steps. */
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { byNameSteps, NODES_PER_STEP } from '../../../src/energy/map/order.ts';
import { runThrough } from '../../../src/numeric/slices.ts';

const named = (names: readonly string[]) => names.map((name) => ({ name }));

test('sorts as a sort at once does, whatever the order and number of names', () => {
  const seeds = fc.uniqueArray(fc.string({ maxLength: 5 }), { maxLength: 40 });
  const lengths = fc.constantFrom(0, 1, NODES_PER_STEP, NODES_PER_STEP + 1, 3 * NODES_PER_STEP - 1, 2_100);
  fc.assert(
    fc.property(seeds, lengths, (prefixes, length) => {
      const many = Array.from(
        { length },
        (_, at) => `${prefixes[at % prefixes.length] ?? ''}/${(at * 7919) % length}`,
      );
      const names = [...new Set([...many, ...prefixes])];
      const sorted = runThrough(byNameSteps(named(names))).map(({ name }) => name);
      expect(sorted).toEqual([...names].sort((a, b) => (a < b ? -1 : 1)));
    }),
    { numRuns: 30 },
  );
});

test('handles no more than a run of names between two yields', () => {
  const count = 20_000;
  let looks = 0;
  const items = Array.from({ length: count }, (_, at) => ({
    get name() {
      looks++;
      return `n${(at * 7919) % count}`;
    },
  }));
  let most = 0;
  const steps = byNameSteps(items);
  for (let done = false; !done; ) {
    looks = 0;
    done = steps.next().done ?? false;
    most = Math.max(most, looks);
  }
  expect(most).toBeLessThan(20 * NODES_PER_STEP);
});
