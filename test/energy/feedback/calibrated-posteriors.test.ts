/** Reported regimes against what is judged of windows nobody has reported yet: the posteriors kept with its maps. */
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import { expect, test } from '@jest/globals';
import { energyMigrations } from '../../../src/energy/context.ts';
import { createMapStore } from '../../../src/energy/map-store.ts';
import { Regime } from '../../../src/gen/homeostat/energy/v1/energy_service_pb.ts';
import { openTestStore } from '../../support/stores.ts';
import { STREAM, startOf } from '../support/windows.ts';
import { type FeedbackWorld, openFeedback, patternWindow } from './support/feedback-world.ts';

const SIDE = 3;
/** Windows that are reported, and later ones that are not. */
const [REPORTED, UNREPORTED] = [
  [64, 114],
  [120, 220],
] as const;

interface Judged {
  readonly regime: Regime;
  readonly probability: number;
}

/** The likeliest regime of every map that is kept, oldest first, and how likely it was held. */
async function judgedOf({ store }: FeedbackWorld): Promise<readonly Judged[]> {
  const maps = await createMapStore(store).list(STREAM, { order: 'OLDEST', limit: 1_000 });
  return maps.map(({ posterior }) =>
    posterior.reduce((most, each) => (each.probability > most.probability ? each : most)),
  );
}

/** Whether what was likeliest is what a window really was: two times in five it was not, unlike where the law was fitted. */
const isRight = (at: number) => at % 5 < 3;

/** Mean distance, over tenths of probability weighted by their windows, of that probability and how often it was right. */
function calibrationError(judged: readonly Judged[]): number {
  const bins = Array.from({ length: 10 }, () => 0);
  const [from, to] = UNREPORTED;
  for (const [nth, { probability }] of judged.slice(from, to).entries())
    bins[Math.min(9, Math.floor(10 * probability))]! += probability - (isRight(from + nth) ? 1 : 0);
  return bins.reduce((sum, each) => sum + Math.abs(each), 0) / (to - from);
}

test('energy.feedback reports lower the calibration error of windows they are not of', async () => {
  const stores = [await openTestStore(energyMigrations), await openTestStore(energyMigrations)] as const;
  const [told, left] = stores.map(({ store }) => openFeedback(store)) as [FeedbackWorld, FeedbackWorld];
  const take = async (from: number, to: number) => {
    const windows = Array.from({ length: to - from }, (_, n) => patternWindow(() => 0, SIDE, from + n));
    for (const world of [told, left]) await world.ingest.take(windows);
  };
  const [first, last] = REPORTED;
  await take(0, last);
  const judged = await judgedOf(told);
  for (let at = first; at < last; at++) {
    const { regime } = judged[at]!;
    const other = regime === Regime.CHAOTIC ? Regime.CRITICAL : Regime.CHAOTIC;
    const report = { regime: isRight(at) ? regime : other, at: timestampFromMs(startOf(at)) };
    const outcome = await told.call('reportOutcome', {
      stream: STREAM,
      ...report,
      idempotencyKey: `label-${at}`,
    });
    expect(outcome.labelCount).toBe(BigInt(at - first + 1));
  }
  await take(last, UNREPORTED[1]);
  const [after, without] = [await judgedOf(told), await judgedOf(left)];
  expect(after.slice(0, last)).toEqual(without.slice(0, last));
  expect(calibrationError(without)).toBeGreaterThan(0.3);
  expect(calibrationError(after)).toBeLessThan(0.5 * calibrationError(without));
  for (const { dispose } of stores) await dispose();
});
