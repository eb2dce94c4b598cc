/** What the models of a stream do: every way a stage can change, and what may never happen whatever the evidence. */
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  decided,
  evidenceOf,
  firstRoster,
  learned,
  type ModelStage,
  type ModelWindow,
  promoted,
  type Roster,
  rolledBack,
  type StageChange,
  takenUp,
} from '../../../src/energy/feedback/model.ts';
import { createRandom } from '../../../src/random.ts';

interface Losses {
  /** How much smaller the loss of the younger model is, before noise that does not depend on it. */
  readonly gain: number;
  readonly drifted?: boolean;
  readonly allowsRival?: boolean;
}

/** A run of models: its roster, and all changes so far, each with the number of its window. */
function run() {
  let roster: Roster = firstRoster();
  const changes: (StageChange & { readonly at: number })[] = [];
  let at = 0;
  const follow = (step: { readonly roster: Roster; readonly changes: readonly StageChange[] }) => {
    roster = step.roster;
    changes.push(...step.changes.map((change) => ({ ...change, at })));
  };
  return {
    changes,
    roster: () => roster,
    told: () =>
      changes.map(({ record, to, reason, at: when }) => `${when}: ${record.modelVersion} ${to} ${reason}`),
    windows(count: number, { gain, drifted = false, allowsRival = true }: Losses) {
      for (let n = 0; n < count; n++, at++) {
        const { rival } = roster;
        const noise = createRandom(1, at).uniform() - 0.5;
        const younger = { younger: 1 + noise - gain, older: 1 };
        const isActiveYounger = rival?.role === 'PREDECESSOR';
        const window: ModelWindow = {
          startMs: 10 * at,
          endMs: 10 * (at + 1),
          allowsRival,
          drifted: drifted && isActiveYounger,
          losses:
            rival && rival.windows > 0
              ? {
                  active: isActiveYounger ? younger.younger : younger.older,
                  rival: isActiveYounger ? younger.older : younger.younger,
                }
              : undefined,
        };
        follow(decided(learned(roster, window), window));
      }
    },
    promote: () => follow(promoted(roster, 'COMMANDED')),
    rollBack: () => follow(rolledBack(roster, 'COMMANDED')),
  };
}

describe('the models of a stream', () => {
  test('begin with one, get a shadow after 256 windows and a fresh one when it was not better', () => {
    const models = run();
    models.windows(2400, { gain: -0.1 });
    expect(models.told()).toEqual([
      '0: 1 ACTIVE STARTED',
      '255: 2 SHADOW STARTED',
      '1279: 2 RETIRED NOT_BETTER',
      '1280: 3 SHADOW STARTED',
      '2304: 3 RETIRED NOT_BETTER',
      '2305: 4 SHADOW STARTED',
    ]);
    const { active, rival } = models.roster();
    expect(active).toMatchObject({ modelVersion: 1, version: 1, predecessor: 0, learned: 2400, fromMs: 0 });
    expect(rival!.record).toMatchObject({ modelVersion: 4, predecessor: 1, fromMs: 23_060 });
  });

  test('a better shadow is promoted at the first look after 200 pairs, and its predecessor let go in the end', () => {
    const models = run();
    models.windows(1100, { gain: 0.5 });
    expect(models.told().slice(2)).toEqual([
      '512: 1 RETIRED SUPERSEDED',
      '512: 2 ACTIVE BETTER',
      '1025: 3 SHADOW STARTED',
    ]);
    expect(models.roster().active).toMatchObject({ modelVersion: 2, version: 2, predecessor: 1 });
  });

  test('one that does worse than the model before goes back for it, after a look at 64 pairs', () => {
    const models = run();
    models.windows(513, { gain: 0.5 });
    models.windows(66, { gain: -1 });
    expect(models.told().slice(4)).toEqual([
      '577: 2 RETIRED WORSE',
      '577: 1 ACTIVE WORSE',
      '578: 3 SHADOW STARTED',
    ]);
    expect(models.roster().active).toMatchObject({ modelVersion: 1, version: 3 });
  });

  test('one that drifts from the model before goes back for it', () => {
    const models = run();
    models.windows(513, { gain: 0.5 });
    models.windows(10, { gain: 0 });
    models.windows(1, { gain: 0, drifted: true });
    expect(models.told().slice(4)).toEqual(['523: 2 RETIRED DRIFT', '523: 1 ACTIVE DRIFT']);
  });

  test('maps that became too large end what runs beside the active model', () => {
    const shadowed = run();
    shadowed.windows(300, { gain: 0 });
    shadowed.windows(1, { gain: 0, allowsRival: false });
    expect(shadowed.told().at(-1)).toBe('300: 2 RETIRED NOT_BETTER');
    shadowed.windows(50, { gain: 0, allowsRival: false });
    expect(shadowed.roster().rival).toBeUndefined();
    const promotedOne = run();
    promotedOne.windows(520, { gain: 0.5 });
    promotedOne.windows(1, { gain: 0.5, allowsRival: false });
    expect(promotedOne.roster()).toMatchObject({ active: { modelVersion: 2 }, rival: undefined });
  });

  test('the evidence is told of both sides, from 16 pairs on', () => {
    const models = run();
    models.windows(256 + 16, { gain: 0.5 });
    expect(evidenceOf(models.roster(), 2)).toEqual({ pairs: 15, pBetter: undefined });
    models.windows(40, { gain: 0.5 });
    const [own, other] = [evidenceOf(models.roster(), 2), evidenceOf(models.roster(), 1)];
    expect(own.pBetter).toBeLessThan(0.05);
    expect(own.pBetter! + other.pBetter!).toBeCloseTo(1, 12);
    expect(evidenceOf(firstRoster(), 1)).toEqual({ pairs: 0, pBetter: undefined });
  });

  test('commands carried out elsewhere are taken up by the stages they left', () => {
    const models = run();
    models.windows(400, { gain: 0 });
    const before = models.roster();
    const stages = (one: ModelStage, two: ModelStage) => (version: number) => (version === 1 ? one : two);
    expect(takenUp(before, stages('ACTIVE', 'SHADOW'))).toBe(before);
    const after = takenUp(before, stages('RETIRED', 'ACTIVE'));
    expect(after).toMatchObject({
      active: { modelVersion: 2, version: 2 },
      rival: { role: 'PREDECESSOR', record: { modelVersion: 1, version: 2 } },
    });
    expect(takenUp(before, stages('ACTIVE', 'RETIRED'))).toMatchObject({
      active: { modelVersion: 1, version: 3 },
      rival: undefined,
    });
    expect(takenUp(after, stages('ACTIVE', 'RETIRED'))).toMatchObject({
      active: { modelVersion: 1, version: 3 },
      rival: undefined,
    });
  });

  test('energy.feedback whatever comes, one model is active, versions rise and only allowed stages follow', () => {
    const event = fc.oneof(
      {
        weight: 5,
        arbitrary: fc.record({
          count: fc.integer({ min: 1, max: 300 }),
          gain: fc.constantFrom(-0.6, 0, 0.6),
        }),
      },
      { weight: 1, arbitrary: fc.constantFrom('DRIFT', 'LARGE', 'PROMOTE', 'ROLL_BACK') },
    );
    fc.assert(
      fc.property(fc.array(event, { minLength: 1, maxLength: 20 }), (events) => {
        const models = run();
        models.windows(1, { gain: 0 });
        for (const each of events) {
          const { rival } = models.roster();
          if (typeof each === 'object') models.windows(each.count, each);
          else if (each === 'DRIFT') models.windows(1, { gain: 0, drifted: true });
          else if (each === 'LARGE') models.windows(1, { gain: 0, allowsRival: false });
          else if (each === 'PROMOTE' && rival?.role === 'SHADOW') models.promote();
          else if (each === 'ROLL_BACK' && rival?.role === 'PREDECESSOR') models.rollBack();
        }
        checkHistory(models.changes, models.roster());
      }),
      { numRuns: 30 },
    );
  });
});

const ALLOWED = new Set([
  'new ACTIVE STARTED',
  'new SHADOW STARTED',
  'SHADOW ACTIVE BETTER',
  'SHADOW ACTIVE COMMANDED',
  'SHADOW RETIRED NOT_BETTER',
  'ACTIVE RETIRED SUPERSEDED',
  'ACTIVE RETIRED WORSE',
  'ACTIVE RETIRED DRIFT',
  'ACTIVE RETIRED COMMANDED',
  'RETIRED ACTIVE WORSE',
  'RETIRED ACTIVE DRIFT',
  'RETIRED ACTIVE COMMANDED',
]);

/** Follows the changes alone, and compares the end with the roster. */
function checkHistory(changes: readonly (StageChange & { readonly at: number })[], roster: Roster): void {
  const stages = new Map<number, { stage: ModelStage; version: number; at: number }>();
  for (const [nth, { record, from, to, reason, at }] of changes.entries()) {
    const before = stages.get(record.modelVersion);
    expect(from).toBe(before?.stage);
    expect(ALLOWED).toContain(`${from ?? 'new'} ${to} ${reason}`);
    expect(record.version).toBe((before?.version ?? 0) + 1);
    // A predecessor comes back within 512 windows of losing its place.
    if (from === 'RETIRED') expect(at - before!.at).toBeLessThanOrEqual(512);
    stages.set(record.modelVersion, { stage: to, version: record.version, at });
    // The two changes of a promotion or rollback belong together.
    if (to === 'RETIRED' && changes[nth + 1]?.to === 'ACTIVE' && changes[nth + 1]!.at === at) continue;
    const all = [...stages.values()].map(({ stage }) => stage);
    expect(all.filter((stage) => stage === 'ACTIVE')).toHaveLength(1);
    expect(all.filter((stage) => stage === 'SHADOW').length).toBeLessThanOrEqual(1);
  }
  const { active, rival } = roster;
  expect(stages.get(active.modelVersion)).toMatchObject({ stage: 'ACTIVE', version: active.version });
  if (rival)
    expect(stages.get(rival.record.modelVersion)).toMatchObject({
      stage: rival.role === 'SHADOW' ? 'SHADOW' : 'RETIRED',
      version: rival.record.version,
    });
  else expect([...stages.values()].map(({ stage }) => stage)).not.toContain('SHADOW');
}
