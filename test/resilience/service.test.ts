/** The handlers on a real store: scopes, defaults, pages, refusals. */

import { create } from '@bufbuild/protobuf';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import {
  GetHealthRequestSchema,
  ListDefenseLogRequestSchema,
  type ResilienceService,
  WatchHealthRequestSchema,
} from '../../src/gen/homeostat/resilience/v1/resilience_service_pb.ts';
import type { Cell } from '../../src/resilience/cells/cell.ts';
import { createHealthBoard } from '../../src/resilience/health.ts';
import { readPart } from '../../src/resilience/ingest.ts';
import { createResilienceService } from '../../src/resilience/service.ts';
import { createResilienceStore, type LogEntry, resilienceMigrations } from '../../src/resilience/store.ts';
import type { Handlers } from '../../src/rpc/handler.ts';
import { callOf } from '../support/calls.ts';
import { createFakeClock } from '../support/fake-clock.ts';
import { openTestStore, type TestStore } from '../support/stores.ts';
import { logEntry } from './log-entries.ts';
import { closedWindow, config, foldPart } from './worlds.ts';

const HOUR_MS = 3_600_000;
const rules = { ...config, ceiling: 0.8 };
const clock = createFakeClock();
let world: TestStore;

beforeEach(async () => {
  world = await openTestStore(resilienceMigrations);
});
afterEach(() => world.dispose());

function service(running = true) {
  const board = createHealthBoard(rules);
  const table = createResilienceStore(world.store);
  const cells = new Map<string, Cell>();
  for (const [cluster, utilization] of Object.entries({ c1: 0.9, c2: 0.3 }))
    foldPart(cells, readPart(closedWindow({ cluster, index: 0, nodes: { n1: utilization } }), 'cpu'), rules);
  board.show(cells);
  const binding = createResilienceService({ board, table, clock, running: () => running });
  return { table, binding, handlers: binding.handlers as unknown as Handlers<typeof ResilienceService> };
}

function entry(place: number, hoursAgo: number, cluster?: string): LogEntry {
  return logEntry(place, clock.nowMs() - hoursAgo * HOUR_MS, cluster);
}

async function logged(...entries: readonly LogEntry[]) {
  const { table, handlers } = service();
  await world.store.transact((tx) => table.save(tx, [], entries, clock.nowMs()));
  const list = async (init: Parameters<typeof create<typeof ListDefenseLogRequestSchema>>[1]) => {
    const reply = await handlers.listDefenseLog(create(ListDefenseLogRequestSchema, init), callOf());
    return { ids: reply.entries!.map(({ id }) => id), next: reply.nextPageToken! };
  };
  return list;
}

describe('health and defense', () => {
  test('no scope and an empty scope both mean the fleet', async () => {
    const { handlers } = service();
    for (const init of [{}, { scope: {} }]) {
      const { health } = await handlers.getHealth(create(GetHealthRequestSchema, init), callOf());
      expect(health).toMatchObject({
        scope: { domain: '', cluster: '' },
        defense: { level: 4 },
        utilization: { value: expect.closeTo(0.6, 12), unit: '1' },
        cells: [{ cell: { cluster: 'c1' } }, { cell: { cluster: 'c2' }, defense: { level: 1 } }],
      });
    }
  });

  test('a cell is answered with the level it obeys', async () => {
    const { handlers } = service();
    const scope = { domain: 'fleet', cluster: 'c2' };
    const { defense } = await handlers.getDefense(
      create(GetHealthRequestSchema, { scope }) as never,
      callOf(),
    );
    expect(defense).toMatchObject({ level: 4, scope: { domain: '', cluster: '' } });
  });

  test('half a scope and an unknown cell are refused by name', async () => {
    const { handlers } = service();
    const ask = async (scope: { domain?: string; cluster?: string }) =>
      handlers.getHealth(create(GetHealthRequestSchema, { scope }), callOf());
    await expect(ask({ domain: 'fleet' })).rejects.toMatchObject({
      reason: 'FIELD_INVALID',
      violations: [{ field: 'scope.cluster' }],
    });
    await expect(ask({ cluster: 'c1' })).rejects.toMatchObject({ violations: [{ field: 'scope.domain' }] });
    await expect(ask({ domain: 'fleet', cluster: 'zz' })).rejects.toMatchObject({
      reason: 'CELL_NOT_FOUND',
      metadata: { domain: 'fleet', cluster: 'zz' },
    });
  });

  test('a watch of an unknown cell is refused, and of the fleet begins with its health', async () => {
    const { handlers } = service();
    const abort = new AbortController();
    const watch = (init: object) =>
      handlers
        .watchHealth(create(WatchHealthRequestSchema, init), callOf({ signal: abort.signal }))
        [Symbol.asyncIterator]();
    await expect(watch({ scope: { domain: 'fleet', cluster: 'zz' } }).next()).rejects.toMatchObject({
      reason: 'CELL_NOT_FOUND',
    });
    const reports = watch({ heartbeat: { seconds: 2n } });
    expect((await reports.next()).value).toMatchObject({
      health: { defense: { level: 4 } },
      resumeToken: '4',
    });
    const heartbeat = reports.next();
    await clock.advance(2000);
    expect((await heartbeat).value).toEqual({ resumeToken: '4' });
    abort.abort();
    expect((await reports.next()).done).toBe(true);
  });

  test('the service says so while it is not running', () => {
    expect(service(false).binding.unavailable!()).toEqual(['STARTING']);
    expect(service(true).binding.unavailable!()).toEqual([]);
  });
});

describe('the log', () => {
  test('comes newest first, by default of the last 24 hours', async () => {
    const list = await logged(entry(1, 30), entry(2, 23), entry(3, 1));
    expect(await list({})).toEqual({ ids: ['entry-3', 'entry-2'], next: '' });
    expect((await list({ hours: 31 })).ids).toEqual(['entry-3', 'entry-2', 'entry-1']);
  });

  test('comes of all scopes, of the fleet, or of one cell', async () => {
    const list = await logged(entry(1, 1, 'c1'), entry(2, 1), entry(3, 1, 'c2'));
    expect((await list({})).ids).toHaveLength(3);
    expect((await list({ scope: {} })).ids).toEqual(['entry-2']);
    expect((await list({ scope: { domain: 'fleet', cluster: 'c2' } })).ids).toEqual(['entry-3']);
  });

  test('comes in pages that join without gap or overlap, while new entries are added', async () => {
    const list = await logged(...[1, 2, 3, 4, 5].map((place) => entry(place, 1)));
    const first = await list({ page: { pageSize: 2 } });
    expect(first.ids).toEqual(['entry-5', 'entry-4']);
    await logged(entry(6, 0));
    const second = await list({ page: { pageSize: 2, pageToken: first.next } });
    expect(second.ids).toEqual(['entry-3', 'entry-2']);
    expect(await list({ page: { pageSize: 2, pageToken: second.next } })).toEqual({
      ids: ['entry-1'],
      next: '',
    });
  });

  test('refuses a token it did not give', async () => {
    const list = await logged();
    for (const pageToken of ['x', '0', '-1', '1.5', '9'.repeat(40)])
      await expect(list({ page: { pageToken } })).rejects.toMatchObject({
        reason: 'FIELD_INVALID',
        violations: [{ field: 'page.page_token' }],
      });
  });
});
