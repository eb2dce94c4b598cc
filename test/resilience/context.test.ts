/** The whole context on a real broker and store: windows in, levels, health and metrics out, over a restart. */

import { create } from '@bufbuild/protobuf';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { busMigrations } from '../../src/bus/open.ts';
import { topics } from '../../src/bus/topics.ts';
import { systemClock } from '../../src/clock.ts';
import type { DefenseLogEntry } from '../../src/gen/homeostat/resilience/v1/resilience_service_pb.ts';
import {
  GetHealthRequestSchema,
  ListDefenseLogRequestSchema,
  type ResilienceService,
} from '../../src/gen/homeostat/resilience/v1/resilience_service_pb.ts';
import type { WindowClosed } from '../../src/gen/homeostat/telemetry/v1/telemetry_events_pb.ts';
import { createWorkerPool } from '../../src/numeric/worker-pool.ts';
import { createMetrics } from '../../src/observability.ts';
import { createResilience, resilienceMigrations } from '../../src/resilience/context.ts';
import type { Handlers } from '../../src/rpc/handler.ts';
import { openTestBus, type TestBus, until } from '../support/broker.ts';
import { callOf } from '../support/calls.ts';
import { openTestStore, silentLogger, type TestStore } from '../support/stores.ts';
import { closedWindow, config } from './worlds.ts';

let world: TestStore;
let edge: TestBus;

beforeAll(async () => {
  world = await openTestStore([...busMigrations, ...resilienceMigrations]);
  edge = await openTestBus({ store: world.store });
});
afterAll(async () => {
  await edge.dispose();
  await world.dispose();
});

const call = callOf();

/** The context as the server makes it, with its handlers at hand. */
function open() {
  const metrics = createMetrics();
  const { store } = world;
  const { bus } = edge;
  const resilience = createResilience({
    config,
    clock: systemClock,
    store,
    bus,
    workers: createWorkerPool({ threads: 1, queueMax: 64 }),
    logger: silentLogger,
    metrics,
  });
  const [binding] = resilience.services;
  const handlers = binding!.handlers as unknown as Handlers<typeof ResilienceService>;
  const health = async () => (await handlers.getHealth(create(GetHealthRequestSchema), call)).health!;
  return { resilience, metrics, handlers, health, binding: binding! };
}

/** Records windows as telemetry does. */
async function record(...windows: readonly WindowClosed[]) {
  await world.store.transact(async (tx) => {
    for (const window of windows) {
      const { cluster } = window.stream!;
      await edge.bus.record(
        tx,
        topics.windowClosed,
        `${cluster}.${window.start!.seconds}.${window.part}`,
        window,
      );
    }
  });
}

test('windows raise, hold and end the level; a restart goes on where it stood', async () => {
  const announced: DefenseLogEntry[] = [];
  const announcements = edge.bus.subscribe(topics.defenseLevelChanged, ({ message }) =>
    announced.push(message.change!),
  );
  const seen: (number | undefined)[] = [];
  const feed = edge.bus.subscribe(topics.healthUpdated, ({ message }) =>
    seen.push(message.health?.defense?.level),
  );

  const first = open();
  expect(first.binding.unavailable!()).toEqual(['STARTING']);
  await first.resilience.start();
  expect(first.binding.unavailable!()).toEqual([]);
  await record(
    closedWindow({ index: 0, nodes: { a: 0.3 } }),
    closedWindow({ index: 1, nodes: { a: 0.82 } }),
    closedWindow({ index: 2, nodes: { a: 0.9 }, part: 0, parts: 2 }),
  );
  await until(async () => (await first.health()).defense?.level === 3);
  const exposition = await first.metrics.exposition();
  expect(exposition).toMatch(/^homeostat_resilience_defense_level 3$/m);
  expect(exposition).toMatch(/^homeostat_resilience_utilization_ratio 0\.82/m);
  expect(exposition).toMatch(/^homeostat_resilience_ceiling_ratio 0\.8$/m);
  expect(exposition).toMatch(/^homeostat_resilience_samples_total\{outcome="ok"\} 2$/m);
  expect(exposition).toMatch(/^homeostat_resilience_job_last_success_seconds\{job="prune"\} 1\d{9}/m);
  expect(exposition).toMatch(/^homeostat_resilience_job_missed_total\{job="prune"\} 0$/m);
  await first.resilience.stop();

  const second = open();
  await second.resilience.start();
  expect((await second.health()).defense).toMatchObject({ level: 3 });
  await record(closedWindow({ index: 2, nodes: { b: 0.99 }, part: 1, parts: 2 }));
  await until(async () => (await second.health()).defense?.level === 4);
  expect((await second.health()).utilization?.value).toBeCloseTo((0.9 + 0.99) / 2, 12);
  await record(closedWindow({ index: 3, nodes: { a: 0.9 }, endOfInput: true }));
  await until(async () => (await second.health()).defense?.level === 1);

  const { entries } = await second.handlers.listDefenseLog(
    create(ListDefenseLogRequestSchema, { scope: {} }),
    call,
  );
  expect(entries!.map(({ fromLevel, toLevel, cause }) => [fromLevel, toLevel, cause])).toEqual([
    [4, 1, 'end_of_input'],
    [3, 4, 'utilization'],
    [1, 3, 'utilization'],
  ]);
  await until(() => announced.length === 6);
  const ofFleet = announced.filter(({ scope }) => scope?.cluster === '');
  expect(ofFleet.map(({ id }) => id)).toEqual(entries!.map(({ id }) => id).reverse());
  await until(() => seen.at(-1) === 1);
  expect(seen).toContain(3);

  await second.resilience.stop();
  await announcements.stop();
  await feed.stop();
});
