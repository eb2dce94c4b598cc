/** The order of writing, retrying and acknowledging, without broker or SQL. */
import { describe, expect, test } from '@jest/globals';
import { CommitLoop, type CommitTarget, type Place } from '../../src/telemetry/fold/commit.ts';
import { createFakeClock, settle } from '../support/fake-clock.ts';
import { createHarness } from './messages.ts';

/** Writes down what happens; steps fail while `broken`. */
function createWorld(committed: Place = { generation: 1, sequence: 0 }) {
  const harness = createHarness();
  const clock = createFakeClock();
  const log: string[] = [];
  const state = { broken: false, hold: undefined as Promise<void> | undefined };
  const step = async (name: string) => {
    await state.hold;
    if (state.broken) throw new Error('no');
    log.push(name);
  };
  const target: CommitTarget = {
    bury: (letters) => step(`bury ${letters.length}`),
    write: ({ captures, covered, position }) =>
      step(
        `write ${captures.length} ${covered.generation}/${covered.sequence} ${position.generation}/${position.sequence}`,
      ),
    acknowledge: (sequence) => void log.push(`acknowledge ${sequence}`),
    failed: () => void log.push('failed'),
  };
  const loop = new CommitLoop(harness.fold, committed, { target, clock, pauseMaxMs: 1_000 });
  return { harness, clock, log, state, loop };
}

describe('a commit', () => {
  test('writes dead letters, then the streams, then acknowledges', async () => {
    const { harness, loop, log } = createWorld();
    harness.send({ sequence: 1, samples: [[1, 1]] });
    harness.sendRaw('nonsense');
    await loop.settled();
    expect(log).toEqual(['bury 1', 'write 1 1/2 1/2', 'acknowledge 2']);
    await loop.settled();
    expect(log.slice(3)).toEqual(['acknowledge 2']);
    expect(loop.commits).toBe(1);
  });

  test('takes the closed windows, whose bytes are counted until then', async () => {
    const { harness, loop } = createWorld();
    harness.send({ sequence: 1, samples: [[1, 1]] });
    expect(harness.fold).toMatchObject({ windowsClosed: 0, closedBytes: 0 });
    harness.send({ sequence: 2, samples: [[30, 1]] });
    expect(harness.fold).toMatchObject({ windowsClosed: 1, closedBytes: 80 });
    await loop.settled();
    expect(harness.fold).toMatchObject({ windowsClosed: 0, closedBytes: 0 });
  });

  test('is tried again until it succeeds, with the fold going on and nothing acknowledged', async () => {
    const { harness, loop, log, state, clock } = createWorld();
    state.broken = true;
    harness.send({ sequence: 1, samples: [[1, 1]] });
    loop.request();
    await settle();
    harness.send({ sequence: 2, samples: [[2, 1]] });
    await clock.advance(100);
    expect(log).toEqual(['failed', 'failed']);
    expect(loop.failing).toBe(true);
    state.broken = false;
    await clock.advance(200);
    expect(log.slice(2)).toEqual(['write 1 1/1 1/1', 'acknowledge 1']);
    expect(loop.failing).toBe(false);
    const settled = loop.settled();
    await clock.advance(1_000);
    await settled;
    expect(log.slice(4)).toEqual(['write 1 1/2 1/2', 'acknowledge 2']);
  });

  test('that is under way when another is wanted is followed by it', async () => {
    const { harness, loop, log, state } = createWorld();
    let release = () => {};
    state.hold = new Promise((resolve) => {
      release = resolve;
    });
    harness.send({ sequence: 1, samples: [[1, 1]] });
    loop.request();
    await settle();
    harness.send({ sequence: 2, samples: [[2, 1]] });
    const second = loop.settled();
    release();
    await second;
    expect(log).toEqual(['write 1 1/1 1/1', 'acknowledge 1', 'write 1 1/2 1/2', 'acknowledge 2']);
  });

  test('of many streams is cut into transactions, the last of which moves the position', async () => {
    const { harness, loop, log } = createWorld({ generation: 3, sequence: 0 });
    for (let i = 0; i < 40; i++) {
      const metrics = Object.fromEntries(Array.from({ length: 250 }, (_, m) => [`metric-${m}`, i]));
      harness.sendRaw(JSON.stringify({ metrics }), `homeostat.telemetry.v1.lab.c${i}.n1`);
    }
    await loop.settled();
    expect(log.length).toBeGreaterThan(2);
    expect(log.at(-2)).toMatch(/ 3\/40 3\/40$/);
    for (const line of log.slice(0, -2)) expect(line).toMatch(/ 3\/40 3\/0$/);
    expect(log.at(-1)).toBe('acknowledge 40');
  });

  test('of a stream made anew writes its generation down at once, and never acknowledges the old one', async () => {
    const { harness, loop, log, state } = createWorld({ generation: 1, sequence: 0 });
    for (let sequence = 1; sequence <= 5; sequence++) harness.send({ sequence, samples: [[1, 1]] });
    let release = () => {};
    state.hold = new Promise((resolve) => {
      release = resolve;
    });
    loop.request();
    await settle();
    loop.rebase(1);
    release();
    await loop.settled();
    expect(log[0]).toBe('write 1 1/5 1/5');
    expect(log[1]).toBe('write 0 2/0 2/0');
    expect(log).not.toContain('acknowledge 5');
    expect(loop.committed).toEqual({ generation: 2, sequence: 0 });
  });

  test('waits in proportion to what the one before took, unless it is urgent', async () => {
    const { harness, loop, log, clock, state } = createWorld();
    harness.send({ sequence: 1, samples: [[1, 1]] });
    state.hold = new Promise((resolve) => void clock.after(20, resolve));
    loop.request();
    await settle();
    await clock.advance(20);
    expect(log).toContain('acknowledge 1');
    harness.send({ sequence: 2, samples: [[1, 1]] });
    loop.request();
    await clock.advance(179);
    expect(log).not.toContain('acknowledge 2');
    await clock.advance(1);
    expect(log).toContain('acknowledge 2');
    harness.send({ sequence: 3, samples: [[1, 1]] });
    loop.request(true);
    await settle();
    expect(log).toContain('acknowledge 3');
  });
});

describe('the end', () => {
  test('commits once more and leaves no timer', async () => {
    const { harness, loop, log, clock } = createWorld();
    harness.send({ sequence: 1, samples: [[1, 1]] });
    await loop.stop('commit');
    expect(log).toEqual(['write 1 1/1 1/1', 'acknowledge 1']);
    expect(clock.pending()).toBe(0);
  });

  test('does not wait for a store that is down, and tells those who wait', async () => {
    const { harness, loop, log, clock, state } = createWorld();
    state.broken = true;
    harness.send({ sequence: 1, samples: [[1, 1]] });
    const waiting = loop.settled();
    const refused = expect(waiting).rejects.toThrow(/stopped/);
    await settle();
    await loop.stop('commit');
    await refused;
    expect(log.every((line) => line === 'failed')).toBe(true);
    expect(clock.pending()).toBe(0);
  });

  test('without a commit writes nothing', async () => {
    const { harness, loop, log } = createWorld();
    harness.send({ sequence: 1, samples: [[1, 1]] });
    await loop.stop();
    expect(log).toEqual([]);
  });
});
