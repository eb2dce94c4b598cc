/** Events of maps fit into one message of the broker, however many nodes a fleet has and whatever their names. */
import { create, toBinary } from '@bufbuild/protobuf';
import { expect, test } from '@jest/globals';
import { StreamMapper } from '../../src/energy/map/energy-map.ts';
import { readWindow } from '../../src/energy/map/window.ts';
import { recordMapUpdated } from '../../src/energy/publish.ts';
import { NOTHING_JUDGED } from '../../src/energy/regime/regime.ts';
import { EnergyMapUpdatedSchema } from '../../src/gen/homeostat/energy/v1/energy_events_pb.ts';
import { runThrough } from '../../src/numeric/slices.ts';
import type { Tx } from '../../src/store/store.ts';
import { closedWindow } from './support/windows.ts';

/** What the outbox takes of one message. */
const EVENT_BYTES_MAX = 1_044_480;

test('20,000 nodes with names of 64 characters', async () => {
  const names = Array.from({ length: 20_000 }, (_, at) => `${at}`.padStart(64, 'n'));
  const mapper = new StreamMapper({
    mode: 'PHYSICAL',
    metrics: [],
    halfLifeMs: 86_400_000,
    boundary: 'NEUMANN',
  });
  const nodes = Object.fromEntries(names.map((name) => [name, { power: 1 }]));
  const window = closedWindow({ at: 0, nodes, metrics: { power: { unit: 'W' } } });
  const map = runThrough(mapper.fold(readWindow([window])));
  const bytes: number[] = [];
  const bus = {
    record: async (_: Tx, __: unknown, ___: string, message: object) =>
      void bytes.push(toBinary(EnergyMapUpdatedSchema, create(EnergyMapUpdatedSchema, message)).length),
  };
  const stream = { domain: 'd', cluster: 'c' };
  await recordMapUpdated(bus as never, undefined as never, stream, { ...map, regime: NOTHING_JUDGED });
  expect(bytes).toHaveLength(1);
  expect(bytes[0]).toBeLessThan(EVENT_BYTES_MAX);
});
