/** Stored assessments: the newest of a cell or of the fleet, and their history. */
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { PhaseSeverity } from '../../../src/gen/homeostat/resilience/v1/resilience_service_pb.ts';
import {
  ListPhaseRiskHistoryRequestSchema,
  type PhaseRiskAssessment,
} from '../../../src/gen/homeostat/resilience/v1/thermodynamics_service_pb.ts';
import type { RiskSeverity } from '../../../src/resilience/early-warning/assessment.ts';
import { resilienceMigrations } from '../../../src/resilience/store.ts';
import { compileRules } from '../../../src/rpc/validate.ts';
import { openTestStore, type TestStore } from '../../support/stores.ts';
import { lookOf } from '../phase-risk/worlds.ts';
import { clock, openService, type ServiceShape } from './worlds.ts';

const HOUR_MS = 3_600_000;
let world: TestStore;
beforeEach(async () => {
  world = await openTestStore(resilienceMigrations);
});
afterEach(() => world.dispose());

function open(shape?: ServiceShape) {
  return openService(world.store, shape);
}

describe('stored assessments', () => {
  const C1 = { domain: 'fleet', cluster: 'c1' };

  /** Stores looks of cells, each so many hours ago. */
  async function stored(
    table: ReturnType<typeof open>['table'],
    ...looks: readonly (readonly [string, number, RiskSeverity?])[]
  ) {
    const first = (await table.lastPlace()) + 1;
    await world.store.transact(async (tx) => {
      for (const [index, [cluster, hoursAgo, severity = 'NORMAL']] of looks.entries()) {
        const place = first + index;
        await table.addLook(tx, place, {
          id: `look-${place}`,
          scope: { domain: 'fleet', cluster },
          atMs: place * 900_000,
          recordedAtMs: clock.nowMs() - hoursAgo * HOUR_MS,
          held: { utilization: severity },
          severity,
          seed: 1,
          assessment: lookOf({ utilization: severity }),
        });
      }
    });
  }

  test('the newest of a cell comes with its instant, severity and basis', async () => {
    const { assess, table } = open({ cells: { c1: 'HIGH', c2: 'NORMAL' } });
    await stored(table, ['c1', 2, 'NORMAL'], ['c1', 1, 'HIGH'], ['c2', 0]);
    const found = await assess({ scope: C1 });
    expect(found).toMatchObject({
      id: 'look-2',
      scope: C1,
      at: { seconds: 1_800n },
      overallSeverity: PhaseSeverity.HIGH,
      basis: { source: 'live', seed: 1n, asOf: { seconds: 1_800n } },
      metrics: [{ metric: 'utilization', severity: PhaseSeverity.HIGH }],
    });
    expect(Number(found.recordedAt!.seconds)).toBe((clock.nowMs() - HOUR_MS) / 1_000);
  });

  test('of the fleet is that of the cell in most danger', async () => {
    const { assess, table } = open({ cells: { c1: 'ELEVATED', c2: 'CRITICAL', c3: 'UNKNOWN' } });
    await stored(table, ['c1', 0, 'ELEVATED'], ['c2', 1, 'CRITICAL'], ['c3', 0, 'UNKNOWN']);
    for (const init of [{}, { scope: {} }])
      expect((await assess(init)).scope).toMatchObject({ cluster: 'c2' });
  });

  test('before any look the severity is UNKNOWN and says why, whether there is a cell or not', async () => {
    const none: Partial<PhaseRiskAssessment> = {
      id: '',
      overallSeverity: PhaseSeverity.UNKNOWN,
      lookSeverity: PhaseSeverity.UNKNOWN,
      why: 'no look was made yet',
      notCovered: ['SHOCK', 'RATE_INDUCED', 'NOISE_INDUCED', 'RISING_NOISE_COLOR'],
    };
    expect(await open().assess({})).toMatchObject(none);
    const { assess } = open({ cells: { c1: 'UNKNOWN' } });
    expect(await assess({})).toMatchObject({ ...none, scope: C1 });
    expect(await assess({ scope: C1 })).toMatchObject({ ...none, scope: C1 });
  });

  test('of an unknown cell or half a name are refused', async () => {
    const { assess, list } = open({ cells: { c1: 'NORMAL' } });
    await expect(assess({ scope: { domain: 'fleet', cluster: 'zz' } })).rejects.toMatchObject({
      reason: 'CELL_NOT_FOUND',
      metadata: { domain: 'fleet', cluster: 'zz' },
    });
    for (const half of [assess({ scope: { domain: 'fleet' } }), list({ scope: { domain: 'fleet' } })])
      await expect(half).rejects.toMatchObject({
        reason: 'FIELD_INVALID',
        violations: [{ field: 'scope.cluster' }],
      });
  });

  test('are listed newest first, by default those of the last 24 hours', async () => {
    const { list, table } = open();
    await stored(table, ['c1', 30], ['c2', 23], ['c1', 1]);
    expect(await list({})).toEqual({ ids: ['look-3', 'look-2'], count: 2, next: '' });
    expect((await list({ hours: 31 })).ids).toEqual(['look-3', 'look-2', 'look-1']);
    expect((await list({ scope: C1, hours: 31 })).ids).toEqual(['look-3', 'look-1']);
  });

  test('are listed by the severity that holds', async () => {
    const { list, table } = open();
    const severities = ['NORMAL', 'ELEVATED', 'HIGH', 'CRITICAL', 'IMMINENT', 'UNKNOWN'] as const;
    await stored(table, ...severities.map((severity) => ['c1', 0, severity] as const));
    for (const [index, severity] of severities.entries())
      expect(await list({ severity: PhaseSeverity[severity] })).toEqual({
        ids: [`look-${index + 1}`],
        count: 1,
        next: '',
      });
    expect((await list({ severity: PhaseSeverity.UNSPECIFIED })).count).toBe(6);
  });

  const listRulesOf = compileRules(ListPhaseRiskHistoryRequestSchema)!;

  test.each<[string, MessageInitShape<typeof ListPhaseRiskHistoryRequestSchema>, string]>([
    ['no hours', { hours: 0 }, 'hours'],
    ['more hours than are kept', { hours: 2161 }, 'hours'],
    ['no such severity', { severity: 99 as PhaseSeverity }, 'severity'],
    ['a page of 501', { page: { pageSize: 501 } }, 'page.page_size'],
  ])('%s breaks the rules of the list by path', (_, init, path) => {
    expect(listRulesOf(create(ListPhaseRiskHistoryRequestSchema, init)).map(({ field }) => field)).toEqual([
      path,
    ]);
  });

  test('come in pages that join without gap or overlap, while new ones are added', async () => {
    const { list, table } = open();
    await stored(table, ['c1', 0], ['c1', 0], ['c1', 0], ['c1', 0], ['c1', 0]);
    const first = await list({ page: { pageSize: 2 } });
    expect(first).toMatchObject({ ids: ['look-5', 'look-4'], count: 5 });
    await stored(table, ['c1', 0]);
    const second = await list({ page: { pageSize: 2, pageToken: first.next } });
    expect(second.ids).toEqual(['look-3', 'look-2']);
    expect(await list({ page: { pageSize: 2, pageToken: second.next } })).toEqual({
      ids: ['look-1'],
      count: 6,
      next: '',
    });
  });

  test('refuse a page token they did not give', async () => {
    const { list } = open();
    for (const pageToken of ['x', '0', '-1', '1.5', '9'.repeat(40)])
      await expect(list({ page: { pageToken } })).rejects.toMatchObject({
        reason: 'FIELD_INVALID',
        violations: [{ field: 'page.page_token' }],
      });
  });

  test('the service says so while it is not running', () => {
    expect(open({ running: false }).binding.unavailable!()).toEqual(['STARTING']);
    expect(open().binding.unavailable!()).toEqual([]);
  });
});
