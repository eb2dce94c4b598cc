/** Watching health by a clock moved by hand. */
import { expect, test } from '@jest/globals';
import type { Cell, CellName } from '../../src/resilience/cells/cell.ts';
import { createHealthBoard } from '../../src/resilience/health.ts';
import { readPart } from '../../src/resilience/ingest.ts';
import { watchHealth } from '../../src/resilience/watch.ts';
import { createFakeClock, settle } from '../support/fake-clock.ts';
import { closedWindow, config, foldPart } from './worlds.ts';

const rules = { ...config, ceiling: 0.8 };

/** A board whose cells get windows by hand. */
function world() {
  const cells = new Map<string, Cell>();
  const board = createHealthBoard(rules);
  const clock = createFakeClock();
  const abort = new AbortController();
  return {
    board,
    clock,
    abort,
    look(index: number, utilization: number, cluster = 'c1') {
      const window = closedWindow({ cluster, index, nodes: { n1: utilization } });
      foldPart(cells, readPart(window, 'cpu'), rules);
      board.show(new Map(cells));
    },
    watch(seenToken = '', scope?: CellName) {
      const options = { scope, seenToken, heartbeatMs: 10_000, signal: abort.signal };
      return watchHealth(board, clock, options);
    },
  };
}

test('the first response is the health now', async () => {
  const { look, watch } = world();
  look(0, 0.9);
  const { value } = await watch().next();
  expect(value).toMatchObject({ health: { defense: { level: 4 } }, token: '2' });
});

test('a resume token saves the first response only while nothing has changed', async () => {
  const { board, look, watch, clock } = world();
  look(0, 0.9);
  const token = board.token(undefined)!;
  const pending = watch(token).next();
  await clock.advance(10_000);
  expect((await pending).value).toEqual({ token });
  look(1, 0.9);
  expect((await watch(token).next()).value).toMatchObject({ health: { asOfMs: 120_000 } });
});

test('a change is sent at once, and a slow reader gets only the newest', async () => {
  const { look, watch } = world();
  look(0, 0.3);
  const reports = watch();
  await reports.next();
  const pending = reports.next();
  await settle();
  look(1, 0.4);
  expect((await pending).value).toMatchObject({
    health: { utilization: { value: expect.closeTo(0.4, 12) } },
  });
  for (let index = 2; index < 1000; index++) look(index, 0.5);
  expect((await reports.next()).value).toMatchObject({ health: { asOfMs: 1000 * 60_000 }, token: '1001' });
});

test('silence is broken by a heartbeat after each interval, and not by news about others', async () => {
  const { look, watch, clock } = world();
  look(0, 0.3, 'c1');
  const reports = watch('', { domain: 'fleet', cluster: 'c1' });
  const { value: first } = await reports.next();
  for (let round = 0; round < 2; round++) {
    const pending = reports.next();
    await clock.advance(6000);
    look(round, 0.3, 'c2');
    await clock.advance(3999);
    let settled = false;
    void pending.then(() => {
      settled = true;
    });
    await settle();
    expect(settled).toBe(false);
    await clock.advance(1);
    expect((await pending).value).toEqual({ token: first!.token });
  }
});

test('a cell that obeys the fleet hears of the fleet', async () => {
  const { look, watch } = world();
  look(0, 0.3, 'c1');
  const reports = watch('', { domain: 'fleet', cluster: 'c1' });
  await reports.next();
  const pending = reports.next();
  await settle();
  look(0, 0.99, 'c2');
  expect((await pending).value).toMatchObject({ health: { defense: { level: 5 } } });
});

test('an abort ends the watch and leaves no timer and no listener', async () => {
  const { board, look, watch, clock, abort } = world();
  look(0, 0.3);
  const reports = watch();
  await reports.next();
  const pending = reports.next();
  await settle();
  expect(clock.pending()).toBe(1);
  abort.abort();
  expect(await pending).toEqual({ value: undefined, done: true });
  expect(clock.pending()).toBe(0);
  const asked: unknown[] = [];
  const token = board.token;
  board.token = (scope) => {
    asked.push(scope);
    return token(scope);
  };
  look(1, 0.3);
  expect(asked).toEqual([]);
});
