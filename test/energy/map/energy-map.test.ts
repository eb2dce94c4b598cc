/** One stream from windows to maps: modes, layout, learning, forgetting, restart. */
import { deserialize, serialize } from 'node:v8';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { type MapperSnapshot, type MapSettings, StreamMapper } from '../../../src/energy/map/energy-map.ts';
import { explainNode, explainNodes } from '../../../src/energy/map/explanation.ts';
import { readWindow, windowSteps } from '../../../src/energy/map/window.ts';
import { MetricKind } from '../../../src/gen/homeostat/telemetry/v1/telemetry_service_pb.ts';
import { runThrough } from '../../../src/numeric/slices.ts';
import { createRandom } from '../../../src/random.ts';
import { closedWindow, type GivenWindow, WIDTH_MS } from '../support/windows.ts';

const SETTINGS: MapSettings = { mode: 'AUTO', metrics: [], halfLifeMs: 4 * 86_400_000, boundary: 'NEUMANN' };

const fold = (mapper: StreamMapper, given: GivenWindow) =>
  runThrough(mapper.fold(readWindow([closedWindow(given)])));

/** A copy of what a mapper knows, as it would be read back from disk. */
const saved = (mapper: StreamMapper) => deserialize(serialize(mapper.snapshot())) as MapperSnapshot;

/** Windows of a fleet whose nodes and metrics come and go. */
function fleet(count: number, seed = 1): GivenWindow[] {
  const random = createRandom(seed);
  return Array.from({ length: count }, (_, at) => {
    const load = random.normal();
    const nodes: Record<string, Record<string, number>> = {};
    for (const name of ['a', 'b', 'c', 'd']) {
      if (random.uniform() < 0.05 && name !== 'a') continue;
      nodes[name] = { cpu: load + 0.3 * random.normal(), mem: random.normal() };
      if (random.uniform() < 0.1) delete nodes[name]['mem'];
      if (at > 40) nodes[name]['net'] = load * 2 + random.normal();
    }
    if (at === 30) nodes['late'] = { cpu: 1 };
    return { at, nodes };
  });
}

describe('a statistical map', () => {
  test('observes a node from its 65th window on and holds its energy', () => {
    const mapper = new StreamMapper(SETTINGS);
    const random = createRandom(2);
    const maps = Array.from({ length: 70 }, (_, at) =>
      fold(mapper, { at, nodes: { a: { cpu: random.normal(), mem: random.normal() } } }),
    );
    expect(maps.map(({ observed }) => observed[0])).toEqual([...Array(64).fill(0), ...Array(6).fill(1)]);
    expect(maps[63]).toMatchObject({ mode: 'STATISTICAL', surprise: undefined, score: undefined });
    const last = maps[69]!;
    const node = explainNode(last.explanation!, 'a', 64)!;
    expect(last.cells[0]).toBe(Math.fround(node.energy));
    expect(node.metrics.reduce((sum, { contribution }) => sum + contribution, 0)).toBeCloseTo(
      node.energy,
      12,
    );
    expect(last.surprise).toBe(node.surprise);
    expect(last.score).toBe(node.score);
  });

  test('learns and forgets by event time, whether a node fills every window or one in six', () => {
    const [wide, narrow] = [new StreamMapper(SETTINGS), new StreamMapper(SETTINGS)];
    const random = createRandom(9);
    for (let minute = 0; minute < 200; minute++) {
      const nodes = { a: { cpu: random.normal() + minute / 100, mem: random.normal() } };
      const window = readWindow([closedWindow({ at: minute, nodes })]);
      const startMs = minute * 60_000;
      const inMinutes = runThrough(wide.fold({ ...window, startMs, endMs: startMs + 60_000 }));
      const inTens = runThrough(narrow.fold({ ...window, startMs, endMs: startMs + 10_000 }));
      expect(inTens.surprise).toEqual(inMinutes.surprise);
    }
  });

  test('lets one window after a long silence stand for an hour at most', () => {
    const learnFrom = (silenceMs: number) => {
      const mapper = new StreamMapper(SETTINGS);
      const random = createRandom(10);
      let endMs = 0;
      let surprise: number | undefined;
      for (let at = 0; at < 400; at++) {
        const window = readWindow([closedWindow({ at, nodes: { a: { cpu: random.normal() } } })]);
        endMs += at === 300 ? silenceMs : 10_000;
        ({ surprise } = runThrough(mapper.fold({ ...window, startMs: endMs - 10_000, endMs })));
      }
      return surprise;
    };
    expect(learnFrom(12 * 3_600_000)).toBe(learnFrom(3_600_000));
    expect(learnFrom(3_600_000)).not.toBe(learnFrom(60_000));
  });

  test('orders metrics by the size of z and nodes by energy', () => {
    const mapper = new StreamMapper(SETTINGS);
    const random = createRandom(3);
    const ordinary = () => ({ cpu: random.normal(), mem: random.normal() });
    for (let at = 0; at < 80; at++) fold(mapper, { at, nodes: { a: ordinary(), b: ordinary() } });
    const map = fold(mapper, { at: 80, nodes: { a: ordinary(), b: { cpu: 0, mem: -9 } } });
    const nodes = explainNodes(map.explanation!, 1);
    expect(nodes.map(({ node }) => node)).toEqual(['b', 'a']);
    expect(nodes[0]!.metrics.map(({ name }) => name)).toEqual(['mem']);
    expect(nodes[0]!.metrics[0]).toMatchObject({ value: -9 });
    expect(nodes[0]!.metrics[0]!.z).toBeLessThan(-5);
  });

  test('takes the score from the node least like what it has shown before and rises with it', () => {
    const random = createRandom(4);
    const mapper = new StreamMapper(SETTINGS);
    for (let at = 0; at < 90; at++)
      fold(mapper, { at, nodes: { a: { x: random.normal() }, b: { x: random.normal() } } });
    const scores = [0, 2, 5, 50, 5000].map((x) => {
      const copy = StreamMapper.restore(saved(mapper));
      return fold(copy, { at: 90, nodes: { a: { x: 0 }, b: { x } } }).score!;
    });
    expect([...scores].sort((p, q) => p - q)).toEqual(scores);
    expect(scores.every((score) => score >= 0 && score < 1)).toBe(true);
    expect(scores[4]).toBeGreaterThan(scores[3]!);
    expect(scores[3]).toBeGreaterThan(scores[1]!);
  });

  test('counts windows between two ticks of a slow producer as nothing', () => {
    const mapper = new StreamMapper(SETTINGS);
    for (let at = 0; at < 65; at++) fold(mapper, { at: 6 * at, nodes: { a: { x: at % 7 } } });
    expect(fold(mapper, { at: 400, nodes: { a: { x: 1 } } }).observed[0]).toBe(1);
  });

  test('reads a counter as a rate, and metrics through their transforms', () => {
    const values: Record<string, number> = {};
    for (const transform of ['NONE', 'LOG1P', 'LOGIT', 'RATE', 'DEFAULT'] as const) {
      const mapper = new StreamMapper({ ...SETTINGS, metrics: [{ name: 'x', transform }] });
      const metrics = { x: { kind: MetricKind.COUNTER } };
      for (let at = 0; at < 64; at++)
        fold(mapper, { at, metrics, nodes: { a: { x: { mean: 0.25, integral: 30 } } } });
      const map = fold(mapper, { at: 64, metrics, nodes: { a: { x: { mean: 0.25, integral: 30 } } } });
      values[transform] = explainNode(map.explanation!, 'a', 1)!.metrics[0]!.value;
    }
    expect(values).toEqual({
      NONE: 0.25,
      LOG1P: Math.log1p(0.25),
      LOGIT: Math.log(1 / 3),
      RATE: 30 / (WIDTH_MS / 1000),
      DEFAULT: 3,
    });
  });

  test('takes the first 64 metrics by name and no more', () => {
    const mapper = new StreamMapper(SETTINGS);
    const node = Object.fromEntries(
      Array.from({ length: 70 }, (_, i) => [`m${String(i).padStart(2, '0')}`, i]),
    );
    for (let at = 0; at < 65; at++) fold(mapper, { at, nodes: { a: node } });
    const map = fold(mapper, { at: 65, nodes: { a: node } });
    const names = explainNode(map.explanation!, 'a', 64)!.metrics.map(({ name }) => name);
    expect(names).toHaveLength(64);
    expect(names).not.toContain('m64');
  });

  test('lets go of the event loop between the nodes of a large fleet', () => {
    const mapper = new StreamMapper(SETTINGS);
    const random = createRandom(5);
    const node = () => Object.fromEntries(Array.from({ length: 38 }, (_, i) => [`m${i}`, random.normal()]));
    const given = (at: number) => ({
      at,
      nodes: Object.fromEntries(Array.from({ length: 100 }, (_, i) => [`n${i}`, node()])),
    });
    for (let at = 0; at < 64; at++) fold(mapper, given(at));
    const steps = mapper.fold(readWindow([closedWindow(given(64))]));
    let pauses = 0;
    let step = steps.next();
    for (; !step.done; step = steps.next()) pauses++;
    expect(pauses).toBeGreaterThanOrEqual(100);
    expect(step.value.state.totals.count).toBe(100);
  });
});

describe('a physical map', () => {
  const watts = (mean: number, change = {}) => ({ power: { mean, ...change } });
  const metrics = { power: { unit: 'kW' } };

  test('is chosen once an energy or power metric is seen, and holds joules', () => {
    const mapper = new StreamMapper(SETTINGS);
    expect(fold(mapper, { at: 0, nodes: { a: { cpu: 1 } } }).mode).toBe('STATISTICAL');
    const map = fold(mapper, { at: 1, metrics, nodes: { a: watts(0.2) } });
    expect(map).toMatchObject({ mode: 'PHYSICAL', surprise: undefined, explanation: undefined });
    expect([map.cells[0], map.observed[0]]).toEqual([2000, 1]);
    expect(fold(mapper, { at: 2, nodes: { a: { cpu: 1 } } })).toMatchObject({ mode: 'PHYSICAL' });
  });

  test('does not observe a node covered less than half, and fills its cell with the last value', () => {
    const mapper = new StreamMapper(SETTINGS);
    fold(mapper, { at: 0, metrics, nodes: { a: watts(1), b: watts(1) } });
    const map = fold(mapper, {
      at: 1,
      metrics,
      nodes: { a: watts(3, { coveredSeconds: 4.9 }), b: watts(2) },
    });
    expect([...map.cells]).toEqual([10_000, 20_000]);
    expect([...map.observed]).toEqual([0, 1]);
    expect(map.state.totals.net).toBe(20_000);
    const absent = fold(mapper, { at: 2, metrics, nodes: { b: watts(2) } });
    expect([...absent.observed]).toEqual([0, 1]);
  });

  test('sums counters and amounts, and differences a meter across windows', () => {
    const joules = (kind: MetricKind, readings: { integral: number; first: number; last: number }[]) => {
      const mapper = new StreamMapper(SETTINGS);
      return readings.map(
        (reading, at) =>
          fold(mapper, {
            at,
            metrics: { e: { unit: 'Wh', kind } },
            nodes: { a: { e: { mean: 0, ...reading } } },
          }).cells[0],
      );
    };
    const readings = [
      { integral: 1, first: 10, last: 12 },
      { integral: 2, first: 13, last: 15 },
    ];
    expect(joules(MetricKind.COUNTER, readings)).toEqual([3600, 7200]);
    expect(joules(MetricKind.DELTA, readings)).toEqual([3600, 7200]);
    expect(joules(MetricKind.GAUGE, readings)).toEqual([2 * 3600, 3 * 3600]);
  });

  test('adds up configured metrics, and otherwise takes a single one', () => {
    const both = { cpu_power: { unit: 'W' }, gpu_power: { unit: 'W' } };
    const given = { at: 0, metrics: both, nodes: { a: { cpu_power: 1, gpu_power: 2 } } };
    expect(fold(new StreamMapper(SETTINGS), given).cells[0]).toBe(10);
    const chosen = [...Object.keys(both)].map((name) => ({ name, transform: 'DEFAULT' as const }));
    const mapper = new StreamMapper({ ...SETTINGS, metrics: chosen });
    expect(fold(mapper, given).cells[0]).toBe(30);
    // A metric the node has reported before is missing: part of its energy would be.
    expect(fold(mapper, { at: 1, metrics: both, nodes: { a: { cpu_power: 1 } } }).observed[0]).toBe(0);
  });

  test('holds joules beyond float32 at its ends', () => {
    const map = fold(new StreamMapper(SETTINGS), { at: 0, metrics, nodes: { a: watts(1e300) } });
    expect(map.cells[0]).toBe(3.4028234663852886e38);
  });
});

describe('nodes', () => {
  test('leave after 360 windows of silence, and are learned anew when they return', () => {
    const mapper = new StreamMapper(SETTINGS);
    for (let at = 0; at < 70; at++) fold(mapper, { at, nodes: { a: { x: at % 3 }, b: { x: at % 5 } } });
    let map = fold(mapper, { at: 70, nodes: { a: { x: 1 } } });
    for (let at = 71; at < 429; at++) map = fold(mapper, { at, nodes: { a: { x: at % 3 } } });
    expect(map.layout.cells).toEqual(['a', 'b']);
    for (let at = 429; at < 431; at++) map = fold(mapper, { at, nodes: { a: { x: at % 3 } } });
    expect(map.layout).toMatchObject({ cells: ['a'], version: 2 });
    const back = fold(mapper, { at: 431, nodes: { a: { x: 1 }, b: { x: 1 } } });
    expect([...back.observed]).toEqual([1, 0]);
  });

  test('lie on the cells they declare', () => {
    const map = fold(new StreamMapper(SETTINGS), {
      at: 0,
      cells: { a: [1, 0], b: [0, 1] },
      nodes: { a: { x: 1 }, b: { x: 2 } },
    });
    expect(map.layout).toMatchObject({ kind: 'DECLARED', cells: ['', 'b', 'a', ''] });
  });
});

describe('another configuration', () => {
  test('lays nodes out anew when declared cells count no longer, and keeps what was learned', () => {
    const mapper = new StreamMapper(SETTINGS);
    const cells = { a: [0, 1], b: [1, 0] } as const;
    const random = createRandom(8);
    const window = (at: number): GivenWindow => ({
      at,
      cells,
      nodes: { a: { cpu: random.normal() }, b: { cpu: random.normal() } },
    });
    for (let at = 0; at < 70; at++) fold(mapper, window(at));
    mapper.configure({ ...SETTINGS, layout: 'AUTO' });
    const restored = StreamMapper.restore(saved(mapper));
    for (const each of [mapper, restored]) {
      const { layout, observed } = fold(each, { ...window(70), nodes: { a: { cpu: 0 }, b: { cpu: 1 } } });
      expect(layout).toMatchObject({ kind: 'AUTO', version: 2, rows: 1, cols: 2, cells: ['a', 'b'] });
      expect([...observed]).toEqual([1, 1]);
    }
    mapper.configure(SETTINGS);
    expect(fold(mapper, window(71)).layout).toMatchObject({ version: 3, cells: ['', 'a', 'b', ''] });
  });

  test('forgets when mode, metrics or half-life change, and not when the boundary does', () => {
    const learned = () => {
      const mapper = new StreamMapper(SETTINGS);
      for (let at = 0; at < 70; at++) fold(mapper, { at, nodes: { a: { x: at % 3, y: at % 5 } } });
      return mapper;
    };
    const observedAfter = (settings: Partial<MapSettings>) => {
      const mapper = learned();
      mapper.configure({ ...SETTINGS, ...settings });
      return fold(mapper, { at: 70, nodes: { a: { x: 1, y: 1 } } }).observed[0];
    };
    expect(observedAfter({ boundary: 'PERIODIC' })).toBe(1);
    expect(observedAfter({ halfLifeMs: 600_000 })).toBe(0);
    expect(observedAfter({ mode: 'STATISTICAL' })).toBe(0);
    expect(observedAfter({ metrics: [{ name: 'x', transform: 'NONE' }] })).toBe(0);
  });
});

describe('a restart', () => {
  const windows = fleet(220);
  const settings = { ...SETTINGS, halfLifeMs: 3_600_000 };
  const straight = new StreamMapper(settings);
  const maps = windows.map((given) => fold(straight, given));

  test('anywhere, with the later windows folded again, gives the same bits', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: windows.length - 1 }), (cut) => {
        const before = new StreamMapper(settings);
        for (const given of windows.slice(0, cut)) fold(before, given);
        const after = StreamMapper.restore(saved(before));
        const again = windows.slice(cut).map((given) => fold(after, given));
        expect(again).toEqual(maps.slice(cut));
        expect(saved(after)).toEqual(saved(straight));
      }),
      { numRuns: 12 },
    );
  });

  test('maps are finite and the same bits on every run', () => {
    const again = new StreamMapper(settings);
    for (const [at, given] of windows.entries()) {
      const map = fold(again, given);
      expect(map.digest).toEqual(maps[at]!.digest);
      expect(map.cells.every(Number.isFinite)).toBe(true);
    }
  });
});

describe('a large fleet that is measured', () => {
  const count = 3_000;
  const names = Array.from({ length: count }, (_, i) => `n${(i * 7919) % count}`);
  const metrics = { power: { unit: 'W' } };
  const given = { at: 0, metrics, nodes: Object.fromEntries(names.map((name, i) => [name, { power: i }])) };

  test('is read and mapped a few hundred nodes between two yields, to the same map', () => {
    const parts = [closedWindow(given)];
    const reading = windowSteps(parts);
    let pauses = 0;
    let read = reading.next();
    for (; !read.done; read = reading.next()) pauses++;
    // The nodes, then their readings.
    expect(pauses).toBeGreaterThanOrEqual(2 * Math.floor(count / 512));

    let looks = 0;
    const nodes = read.value.nodes.map(({ readings, ...node }) => ({
      ...node,
      get readings() {
        looks++;
        return readings;
      },
    }));
    const mapping = new StreamMapper(SETTINGS).fold({ ...read.value, nodes });
    let most = 0;
    let mapped = mapping.next();
    for (; !mapped.done; mapped = mapping.next()) {
      most = Math.max(most, looks);
      looks = 0;
    }
    expect(most).toBeGreaterThan(0);
    expect(most).toBeLessThanOrEqual(512);
    expect(mapped.value).toEqual(fold(new StreamMapper(SETTINGS), given));
    expect([mapped.value.mode, mapped.value.state.totals.count]).toEqual(['PHYSICAL', count]);
  });
});

describe('reading a window', () => {
  test('joins its parts and refuses columns that do not fit together', () => {
    const one = closedWindow({ at: 0, nodes: { a: { x: 1 } }, part: 0, parts: 2 });
    const two = closedWindow({ at: 0, nodes: { b: { x: 2 } }, part: 1, parts: 2, endOfInput: true });
    const window = readWindow([one, two]);
    expect(window.nodes.map(({ name, readings }) => [name, readings[0]!.mean])).toEqual([
      ['a', 1],
      ['b', 2],
    ]);
    expect(window.endOfInput).toBe(true);
    one.summaries!.mean = [];
    expect(() => readWindow([one])).toThrow(RangeError);
    two.summaries!.nodeIndex = [7];
    expect(() => readWindow([two])).toThrow(RangeError);
  });
});
