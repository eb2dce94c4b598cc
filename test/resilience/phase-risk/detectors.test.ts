/** What is remembered of both feeds of a cell, and waiting for more of it. */
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { Detector, LEAD_SLOTS, LOOK_SLOTS } from '../../../src/resilience/phase-risk/detector.ts';
import { createDetectors } from '../../../src/resilience/phase-risk/detectors.ts';
import type { Feed } from '../../../src/resilience/phase-risk/standing-metrics.ts';
import { createFakeClock, settle } from '../../support/fake-clock.ts';
import { MINUTE_MS } from '../worlds.ts';

const span = (index: number, widthMs = MINUTE_MS) => ({
  startMs: index * widthMs,
  endMs: (index + 1) * widthMs,
});
const utilization = (value: number) => [{ metric: 'utilization', value }] as const;

describe('a detector', () => {
  test('a look sees the slots that end at or before its instant, holes as such', () => {
    const detector = new Detector('windows', MINUTE_MS);
    for (const index of [2, 3, 6, 7]) detector.take(span(index), utilization(index));
    expect([...detector.slots('utilization', 7 * MINUTE_MS)]).toEqual([2, 3, Number.NaN, Number.NaN, 6]);
    expect([...detector.slots('load_variance', 7 * MINUTE_MS)]).toEqual([]);
    expect(detector.passedMs).toBe(8 * MINUTE_MS);
  });

  test('windows narrower than a slot are averaged in it', () => {
    const detector = new Detector('windows', MINUTE_MS);
    for (let index = 0; index < 12; index++) detector.take(span(index, 10_000), utilization(index));
    expect([...detector.slots('utilization', 2 * MINUTE_MS)]).toEqual([
      expect.closeTo(2.5, 12),
      expect.closeTo(8.5, 12),
    ]);
  });

  test('a span that is known changes nothing, one without samples only passes', () => {
    const detector = new Detector('windows', MINUTE_MS);
    detector.take(span(0), utilization(1));
    detector.take(span(1), []);
    const before = detector.state();
    detector.take(span(0), utilization(9));
    detector.take(span(1), utilization(9));
    expect(detector.state()).toEqual(before);
    expect(before.passedMs).toBe(2 * MINUTE_MS);
  });

  test.each([
    ['windows', 16],
    ['maps', LEAD_SLOTS + 16],
  ] as const)('%s %d slots past a look still have all it stands on', (feed, past) => {
    const metric = feed === 'windows' ? 'utilization' : 'map_energy';
    const detector = new Detector(feed, MINUTE_MS);
    const atSlot = LOOK_SLOTS + 100;
    for (let index = 0; index < atSlot; index++) detector.take(span(index), [{ metric, value: index }]);
    const before = detector.slots(metric, atSlot * MINUTE_MS);
    expect(before).toHaveLength(LOOK_SLOTS);
    for (let index = atSlot; index < atSlot + past; index++)
      detector.take(span(index), [{ metric, value: index }]);
    expect(detector.slots(metric, atSlot * MINUTE_MS)).toEqual(before);
  });

  test('comes back from its state to the bit, in the middle of a slot too', () => {
    const widths = fc.constantFrom(7_000, 20_000, MINUTE_MS);
    const value = fc.option(fc.double({ noNaN: true, min: -1e9, max: 1e9 }), { nil: undefined });
    const values = fc.array(value, { minLength: 1, maxLength: 80 });
    fc.assert(
      fc.property(widths, values, fc.nat(), (widthMs, series, cut) => {
        const whole = new Detector('windows', MINUTE_MS);
        let resumed = new Detector('windows', MINUTE_MS);
        for (const [index, one] of series.entries()) {
          const samples = one === undefined ? [] : utilization(one);
          whole.take(span(index, widthMs), samples);
          resumed.take(span(index, widthMs), samples);
          if (index === cut % series.length)
            resumed = Detector.restore('windows', JSON.parse(JSON.stringify(resumed.state())));
        }
        const endMs = series.length * widthMs;
        expect(resumed.state()).toEqual(whole.state());
        expect(resumed.slots('utilization', endMs)).toEqual(whole.slots('utilization', endMs));
      }),
    );
  });
});

describe('the detectors', () => {
  const open = () => {
    const clock = createFakeClock();
    return { clock, detectors: createDetectors(clock, MINUTE_MS) };
  };
  const never = new AbortController().signal;

  test('keep cells and feeds apart', () => {
    const { detectors } = open();
    detectors.take('windows', 'fleet/a', span(0), utilization(1));
    detectors.take('maps', 'fleet/b', span(1), [{ metric: 'map_energy', value: 2 }]);
    expect(detectors.find('windows', 'fleet/a')!.passedMs).toBe(MINUTE_MS);
    expect(detectors.find('maps', 'fleet/b')!.passedMs).toBe(2 * MINUTE_MS);
    expect(detectors.find('windows', 'fleet/b')).toBeUndefined();
    expect(detectors.find('maps', 'fleet/a')).toBeUndefined();
  });

  test('make the grid as wide as the windows, never finer than configured', () => {
    const { detectors } = open();
    detectors.take('windows', 'fleet/a', span(0, 10_000), utilization(1));
    detectors.take('windows', 'fleet/b', span(0, 5 * MINUTE_MS), utilization(1));
    expect(detectors.find('windows', 'fleet/a')!.intervalMs).toBe(MINUTE_MS);
    expect(detectors.find('windows', 'fleet/b')!.intervalMs).toBe(5 * MINUTE_MS);
  });

  test('begin a new grid with windows of another width, which one that is known does not', () => {
    const { detectors } = open();
    const widthMs = 5 * MINUTE_MS;
    for (let index = 0; index < 10; index++)
      detectors.take('windows', 'fleet/a', span(index), utilization(index));
    detectors.take('windows', 'fleet/a', span(2, widthMs), utilization(100));
    detectors.take('windows', 'fleet/a', span(3), utilization(9));
    const detector = detectors.find('windows', 'fleet/a')!;
    expect(detector.intervalMs).toBe(widthMs);
    expect([...detector.slots('utilization', 3 * widthMs)]).toEqual([100]);
  });

  test('keep the grid before for looks the maps have run ahead of, one grid and no more', () => {
    const { detectors } = open();
    const take = (index: number, widthMs: number) =>
      detectors.take('maps', 'fleet/a', span(index, widthMs), [{ metric: 'map_energy', value: widthMs }]);
    const known = () => {
      const detector = detectors.find('maps', 'fleet/a')!;
      return [1, 2, 4].map(
        (minutes) => detector.onGrid(minutes * MINUTE_MS)?.slots('map_energy', 60 * MINUTE_MS)[0],
      );
    };
    take(0, MINUTE_MS);
    take(1, 2 * MINUTE_MS);
    expect(known()).toEqual([MINUTE_MS, 2 * MINUTE_MS, undefined]);
    const saved = JSON.parse(JSON.stringify(detectors.find('maps', 'fleet/a')!.state()));
    detectors.restore('maps', new Map([['fleet/a', saved]]));
    expect(known()).toEqual([MINUTE_MS, 2 * MINUTE_MS, undefined]);
    take(2, 4 * MINUTE_MS);
    expect(known()).toEqual([undefined, 2 * MINUTE_MS, 4 * MINUTE_MS]);
  });

  test('put back one feed as it was saved, and only that', () => {
    const { detectors } = open();
    detectors.take('windows', 'fleet/a', span(0), utilization(1));
    detectors.take('maps', 'fleet/a', span(0), []);
    const saved = new Map([['fleet/a', detectors.find('windows', 'fleet/a')!.state()]]);
    detectors.take('windows', 'fleet/a', span(1), utilization(2));
    detectors.take('windows', 'fleet/b', span(1), utilization(2));
    detectors.take('maps', 'fleet/a', span(1), []);
    detectors.restore('windows', saved);
    expect(detectors.find('windows', 'fleet/a')!.state()).toEqual(saved.get('fleet/a'));
    expect(detectors.find('windows', 'fleet/b')).toBeUndefined();
    expect(detectors.find('maps', 'fleet/a')!.passedMs).toBe(2 * MINUTE_MS);
  });

  test.each<[Feed, Feed]>([
    ['maps', 'windows'],
    ['windows', 'maps'],
  ])('a wait for %s ends with the next one, and not with %s', async (feed, other) => {
    const { detectors, clock } = open();
    let outcome: boolean | undefined;
    void detectors.changed(feed, 1_000, never).then((changed) => {
      outcome = changed;
    });
    detectors.take(other, 'fleet/a', span(0), []);
    await settle();
    expect(outcome).toBeUndefined();
    detectors.take(feed, 'fleet/b', span(0), []);
    await settle();
    expect(outcome).toBe(true);
    expect(clock.pending()).toBe(0);
  });

  test('a wait ends with its time, or with its signal, and leaves no timer', async () => {
    const { detectors, clock } = open();
    const waited = detectors.changed('maps', 1_000, never);
    await clock.advance(1_000);
    expect(await waited).toBe(false);
    const abort = new AbortController();
    const aborted = detectors.changed('maps', 1_000, abort.signal);
    abort.abort(new Error('enough'));
    await expect(aborted).rejects.toThrow('enough');
    await expect(detectors.changed('maps', 1_000, abort.signal)).rejects.toThrow('enough');
    expect(clock.pending()).toBe(0);
  });

  test('all who wait are told', async () => {
    const { detectors } = open();
    const waits = [1, 2, 3].map(() => detectors.changed('maps', 1_000, never));
    detectors.take('maps', 'fleet/a', span(0), []);
    expect(await Promise.all(waits)).toEqual([true, true, true]);
  });
});
