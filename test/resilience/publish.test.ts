/** The health feed by a clock moved by hand, and the contract's words for domain values. */

import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { describe, expect, test } from '@jest/globals';
import type { Bus } from '../../src/bus/bus.ts';
import { HealthUpdatedSchema } from '../../src/gen/homeostat/resilience/v1/resilience_events_pb.ts';
import { Status } from '../../src/gen/homeostat/resilience/v1/resilience_service_pb.ts';
import type { Cell } from '../../src/resilience/cells/cell.ts';
import { createHealthBoard } from '../../src/resilience/health.ts';
import { readPart } from '../../src/resilience/ingest.ts';
import { healthToProto, startHealthFeed } from '../../src/resilience/publish.ts';
import { createFakeClock } from '../support/fake-clock.ts';
import { closedWindow, config, foldPart } from './worlds.ts';

const rules = { ...config, ceiling: 0.8 };

function world() {
  const cells = new Map<string, Cell>();
  const board = createHealthBoard(rules);
  const clock = createFakeClock();
  /** End of the newest look in each announcement, in minutes. */
  const announced: number[] = [];
  const publish: Bus['publish'] = (_topic, id, message) => {
    expect(id).toBe('fleet');
    const { health } = create(HealthUpdatedSchema, message as MessageInitShape<typeof HealthUpdatedSchema>);
    announced.push(Number(health?.asOf?.seconds ?? 0n) / 60);
  };
  const feed = startHealthFeed({ publish }, clock, board, 100);
  const look = (index: number) => {
    foldPart(cells, readPart(closedWindow({ index, nodes: { n1: 0.9 } }), 'cpu'), rules);
    board.show(new Map(cells));
  };
  return { board, clock, announced, feed, look };
}

describe('the health feed', () => {
  test('announces at once, then at most once per interval, the newest last', async () => {
    const { clock, announced, feed, look } = world();
    await clock.advance(100);
    for (let index = 0; index < 50; index++) look(index);
    expect(announced).toEqual([0, 1]);
    await clock.advance(99);
    expect(announced).toEqual([0, 1]);
    await clock.advance(1);
    expect(announced).toEqual([0, 1, 50]);
    await clock.advance(1000);
    expect(announced).toEqual([0, 1, 50]);
    look(50);
    expect(announced).toEqual([0, 1, 50, 51]);
    feed.stop();
    expect(clock.pending()).toBe(0);
  });

  test('announces what it owes when it stops, and nothing after', () => {
    const { clock, announced, feed, look } = world();
    look(0);
    expect(announced).toEqual([0]);
    feed.stop();
    expect(announced).toEqual([0, 1]);
    look(1);
    expect(announced).toEqual([0, 1]);
    expect(clock.pending()).toBe(0);
  });
});

test('a report in the contract says what is known and marks the rest', () => {
  const { board, feed, look } = world();
  look(0);
  feed.stop();
  expect(healthToProto(board.fleet())).toMatchObject({
    scope: { domain: '', cluster: '' },
    defense: {
      level: 4,
      asOf: { seconds: 60n },
      heldUntil: { seconds: 1860n },
      inputs: [
        {
          name: 'utilization',
          level: 4,
          status: Status.OK,
          statistic: expect.closeTo(0.9, 12),
          threshold: expect.closeTo(0.85, 12),
          window: { start: { seconds: 0n }, end: { seconds: 60n } },
        },
        { name: 'served_share', level: 0, status: Status.NOT_CONFIGURED },
        { name: 'contingency' },
        { name: 'homeostasis' },
        { name: 'node_load' },
        { name: 'phase_risk' },
      ],
    },
    ceiling: { value: 0.8, unit: '1', status: Status.OK },
    servedShare: { status: Status.NOT_CONFIGURED, why: expect.stringMatching(/./) },
    cells: [{ cell: { domain: 'fleet', cluster: 'c1' }, ended: false }],
  });
});
