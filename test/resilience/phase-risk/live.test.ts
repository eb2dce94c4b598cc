/**
 * The whole context on a real broker, store and worker pool: ten hours of windows and maps of a cell that slows down
 * and of one that does not, once without and once with a restart in the middle of it.
 */
import { create } from '@bufbuild/protobuf';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { busMigrations } from '../../../src/bus/open.ts';
import { topics } from '../../../src/bus/topics.ts';
import { systemClock } from '../../../src/clock.ts';
import {
  GetHealthRequestSchema,
  PhaseSeverity,
  type ResilienceService,
  Status,
} from '../../../src/gen/homeostat/resilience/v1/resilience_service_pb.ts';
import {
  AssessPhaseRiskRequestSchema,
  ListPhaseRiskHistoryRequestSchema,
  type PhaseRiskAssessment,
  type ThermodynamicsService,
} from '../../../src/gen/homeostat/resilience/v1/thermodynamics_service_pb.ts';
import { createWorkerPool } from '../../../src/numeric/worker-pool.ts';
import { createMetrics } from '../../../src/observability.ts';
import { createResilience, resilienceMigrations } from '../../../src/resilience/context.ts';
import { createRiskStore } from '../../../src/resilience/phase-risk/store.ts';
import { createResilienceStore } from '../../../src/resilience/store.ts';
import type { Handlers } from '../../../src/rpc/handler.ts';
import { openTestBus, until } from '../../support/broker.ts';
import { callOf } from '../../support/calls.ts';
import { openTestStore, silentLogger } from '../../support/stores.ts';
import { closedWindow, config, MINUTE_MS } from '../worlds.ts';
import { energyMap, recovering } from './worlds.ts';

const MINUTES = 600;
/** Long enough that maps under way are never given up, however busy the machine. */
const GRACE_MS = 120_000;
const CELLS = {
  /** Its recovery slows down until little is left of it. Far from any limit: load alone never raises a level. */
  slow: { load: curved(1, [0, 0.98]), nodes: recovering(MINUTES, 101, { memory: [0.2, 0.2], mean: 0.1 }) },
  calm: { load: curved(4, [0.3, 0.3]), nodes: recovering(MINUTES, 104, { memory: [0.2, 0.2], mean: 0.1 }) },
} as const;

/** An AR(1) load whose coefficient goes from the first value to the last, most of the way near the end. */
function curved(seed: number, [from, to]: readonly [number, number]): number[] {
  const innovations = recovering(MINUTES, seed, { memory: [0, 0], mean: 0, spread: 0.01 });
  let deviation = 0;
  return innovations.map((innovation, minute) => {
    deviation = (from + (to - from) * (minute / MINUTES) ** 4) * deviation + innovation;
    return 0.5 + deviation;
  });
}

const call = callOf();

/** A world in which both cells were lived through, stopped and started again at some minutes; the last one runs on. */
async function live(restartsAt: readonly number[]) {
  const world = await openTestStore([...busMigrations, ...resilienceMigrations]);
  const edge = await openTestBus({ store: world.store });
  const workers = createWorkerPool({ threads: 2, queueMax: 64 });
  const assessed: PhaseRiskAssessment[] = [];
  const alerts: {
    readonly id: string;
    readonly severity: PhaseSeverity;
    readonly recommendations: string[];
  }[] = [];
  const listeners = [
    edge.bus.subscribe(topics.phaseRiskAssessed, ({ message }) => assessed.push(message.assessment!)),
    edge.bus.subscribe(topics.resilienceAlertRaised, ({ message }) => alerts.push(message)),
  ];
  const open = () => {
    const metrics = createMetrics();
    const resilience = createResilience({
      config: { ...config, mapGraceMs: GRACE_MS },
      clock: systemClock,
      store: world.store,
      bus: edge.bus,
      workers,
      logger: silentLogger,
      metrics,
    });
    const [operates, analyses] = resilience.services.map(({ handlers }) => handlers as unknown);
    return {
      resilience,
      metrics,
      operates: operates as Handlers<typeof ResilienceService>,
      analyses: analyses as Handlers<typeof ThermodynamicsService>,
    };
  };
  let process = open();
  await process.resilience.start();
  const passed = async (minute: number) => {
    const { health } = await process.operates.getHealth(create(GetHealthRequestSchema), call);
    return Number(health?.asOf?.seconds ?? 0) >= minute * 60;
  };
  let from = 0;
  for (const to of [...restartsAt, MINUTES]) {
    // Stopped with work under way: what was recorded since is taken by the next process.
    if (from > 0) {
      await until(() => passed(from - 60), 60_000);
      await process.resilience.stop();
      process = open();
      await process.resilience.start();
    }
    await record(world.store, edge.bus, from, to);
    from = to;
  }
  await until(() => passed(MINUTES), 120_000);
  const table = createRiskStore(world.store);
  const { looks } = await table.listLooks({ recordedSinceMs: 0, limit: 1_000 });
  return {
    ...process,
    assessed,
    alerts,
    looks: looks.map(({ assessment }) => ({ ...assessment, recordedAt: undefined })).reverse(),
    cells: (await createResilienceStore(world.store).load()).cells,
    log: (await createResilienceStore(world.store).listLog({ recordedSinceMs: 0, limit: 100 })).map(
      (entry) => ({
        ...entry,
        recordedAtMs: 0,
      }),
    ),
    async dispose() {
      await process.resilience.stop();
      for (const listener of listeners) await listener.stop();
      await workers.close();
      await edge.dispose();
      await world.dispose();
    },
  };
}

/** Records windows and maps of some minutes as telemetry and energy do. */
async function record(
  store: Awaited<ReturnType<typeof openTestStore>>['store'],
  bus: Awaited<ReturnType<typeof openTestBus>>['bus'],
  from: number,
  to: number,
): Promise<void> {
  await store.transact(async (tx) => {
    for (let index = from; index < to; index++)
      for (const [cluster, { load, nodes }] of Object.entries(CELLS)) {
        const mean = load[index]!;
        const window = closedWindow({
          cluster,
          index,
          nodes: { a: mean + nodes[index]!, b: mean - nodes[index]! },
        });
        const map = energyMap({ cluster, index, net: mean, entropyRatio: 1 - nodes[index]! });
        await bus.record(tx, topics.windowClosed, `${cluster}.${index}`, window);
        await bus.record(tx, topics.energyMapUpdated, `${cluster}.${index}`, map);
      }
  });
}

type World = Awaited<ReturnType<typeof live>>;

function isCritical(severity: PhaseSeverity): boolean {
  return severity === PhaseSeverity.CRITICAL || severity === PhaseSeverity.IMMINENT;
}

describe('ten hours', () => {
  let straight: World;
  let restarted: World;
  beforeAll(async () => {
    [straight, restarted] = await Promise.all([live([]), live([230, 470])]);
  }, 240_000);
  afterAll(async () => {
    await straight.dispose();
    await restarted.dispose();
  });

  const of = (world: World, cluster: string) => world.looks.filter(({ scope }) => scope?.cluster === cluster);
  const severities = (world: World, cluster: string) =>
    of(world, cluster).map(({ overallSeverity }) => overallSeverity);

  test('end with the slowing cell CRITICAL or worse, known by both feeds', () => {
    const last = of(straight, 'slow').at(-1)!;
    expect(isCritical(last.overallSeverity)).toBe(true);
    expect(last.metrics.map(({ metric, status, samples }) => [metric, status, samples])).toEqual(
      ['load_variance', 'map_energy', 'map_entropy', 'utilization'].map((metric) => [metric, Status.OK, 512]),
    );
    const alarmed = new Set(last.signals.map(({ metric }) => metric));
    expect([...alarmed].sort()).toEqual(['map_energy', 'utilization']);
    expect(last.recommendations.length).toBeGreaterThan(1);
  });

  test('raise the level by phase risk alone, above what load ever asks for', async () => {
    const raised = straight.log.filter(({ cause }) => cause === 'phase_risk');
    expect(raised.at(-1)).toMatchObject({ scope: { cluster: 'slow' }, fromLevel: 1 });
    expect(raised[0]).toMatchObject({ toLevel: 4 });
    expect(straight.log.some(({ cause }) => cause === 'utilization')).toBe(false);
    const { health } = await straight.operates.getHealth(create(GetHealthRequestSchema), call);
    expect(health).toMatchObject({
      defense: { level: 4 },
      phaseRisk: { status: Status.OK, severity: severities(straight, 'slow').at(-1) },
    });
  });

  test('leave the calm cell NORMAL at level 1', async () => {
    const { UNKNOWN, NORMAL } = PhaseSeverity;
    expect(severities(straight, 'calm')).toEqual([...Array(3).fill(UNKNOWN), ...Array(36).fill(NORMAL)]);
    const scope = { domain: 'fleet', cluster: 'calm' };
    const { health } = await straight.operates.getHealth(create(GetHealthRequestSchema, { scope }), call);
    expect(health!.phaseRisk).toMatchObject({ severity: PhaseSeverity.NORMAL, status: Status.OK });
    expect(health!.cells![0]!.defense!.level).toBe(1);
    expect(straight.log.some(({ scope: of }) => of?.cluster === 'calm')).toBe(false);
  });

  test('look every quarter of an hour, every five minutes once the level is raised', () => {
    const minutes = (cluster: string) => of(straight, cluster).map(({ at }) => Number(at!.seconds) / 60);
    expect(minutes('calm')).toEqual(Array.from({ length: 39 }, (_, i) => 15 * (i + 1)));
    const slow = minutes('slow');
    const raisedAt = straight.log.at(-1)!.atMs / MINUTE_MS;
    for (const [index, minute] of slow.entries()) {
      if (index === 0) continue;
      expect(minute - slow[index - 1]!).toBe(minute <= raisedAt ? 15 : 5);
    }
  });

  test('record every look and every alarm as an event', async () => {
    await until(() => straight.assessed.length === straight.looks.length);
    expect(straight.assessed.map(({ id }) => id).sort()).toEqual(straight.looks.map(({ id }) => id).sort());
    expect(straight.alerts.length).toBeGreaterThan(0);
    const critical = of(straight, 'slow').find(({ overallSeverity }) => isCritical(overallSeverity))!;
    expect(straight.alerts[0]).toMatchObject({
      id: critical.id,
      kind: 'PHASE_RISK',
      scope: { cluster: 'slow' },
      severity: critical.overallSeverity,
      at: critical.at,
      recommendations: critical.recommendations,
    });
  });

  test('are read from the service and exported as gauges', async () => {
    const { assessment } = await straight.analyses.assessPhaseRisk(
      create(AssessPhaseRiskRequestSchema),
      call,
    );
    expect(assessment).toMatchObject({ id: of(straight, 'slow').at(-1)!.id });
    const history = await straight.analyses.listPhaseRiskHistory(
      create(ListPhaseRiskHistoryRequestSchema, { page: { pageSize: 500 } }),
      call,
    );
    expect(history.count).toBe(straight.looks.length);

    const exposition = await straight.metrics.exposition();
    const risk = severities(straight, 'slow').at(-1)! - PhaseSeverity.NORMAL;
    expect(exposition).toMatch(new RegExp(`^resilience_phase_transition_risk ${risk}$`, 'm'));
    expect(exposition).toMatch(/^homeostat_resilience_phase_risk_known 1$/m);
    expect(exposition).toMatch(
      /^resilience_critical_signals_count\{severity="(critical|imminent)"\} [1-9]$/m,
    );
  });

  test('are the same after restarts in the middle of them', () => {
    const byCell = (world: World) => [...of(world, 'calm'), ...of(world, 'slow')];
    expect(byCell(restarted)).toEqual(byCell(straight));
    expect(restarted.cells).toEqual(straight.cells);
    expect(restarted.log).toEqual(straight.log);
  });
});
