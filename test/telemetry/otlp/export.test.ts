/** What becomes of an OpenTelemetry export: samples, refusals, batches. */
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { MetricKind } from '../../../src/gen/homeostat/telemetry/v1/telemetry_service_pb.ts';
import { AggregationTemporality } from '../../../src/gen/opentelemetry/proto/metrics/v1/metrics_pb.ts';
import { runThrough } from '../../../src/numeric/slices.ts';
import { ACCEPTED, DUPLICATE } from '../../../src/telemetry/fold/counts.ts';
import { readExport } from '../../../src/telemetry/otlp/export.ts';
import { REFUSALS } from '../../../src/telemetry/otlp/refusals.ts';
import { metricsOf, UnreadableExport } from '../../../src/telemetry/otlp/request.ts';
import { counts, createHarness, totals } from '../messages.ts';
import {
  batchesOf,
  encoded,
  gauge,
  type MetricInit,
  type PointInit,
  point,
  read,
  request,
  resource,
  SHOP,
  START_MS,
  samplesOf,
} from './exports.ts';

const { DELTA, CUMULATIVE, UNSPECIFIED } = AggregationTemporality;

function sum(
  name: string,
  aggregationTemporality: AggregationTemporality,
  isMonotonic: boolean,
  dataPoints: PointInit[] = [point(0, 1)],
): MetricInit {
  return { name, data: { case: 'sum', value: { dataPoints, aggregationTemporality, isMonotonic } } };
}

function histogram(
  name: string,
  aggregationTemporality: AggregationTemporality,
  given: { timeUnixNano?: bigint; count?: bigint; sum?: number; flags?: number } = {},
  form: 'histogram' | 'exponentialHistogram' = 'histogram',
): MetricInit {
  const { timeUnixNano, attributes } = point(0, 0, { method: 'GET' });
  const dataPoints = [
    { timeUnixNano: timeUnixNano ?? 0n, attributes: attributes ?? [], count: 4n, ...given },
  ];
  return { name, unit: 's', data: { case: form, value: { dataPoints, aggregationTemporality } } };
}

const KINDS = new Map<MetricKind, string>(Object.entries(MetricKind).map(([name, kind]) => [kind, name]));

/** `name unit kind` of every metric of the only batch. */
function metricsRead(...metrics: MetricInit[]): string[] {
  const [batch] = batchesOf(read(resource(metrics)));
  return batch!.metrics.map(({ name, unit, kind }) => `${name} ${unit || '-'} ${KINDS.get(kind)}`);
}

describe('points become samples', () => {
  test('of a kind that says how they add up', () => {
    expect(
      metricsRead(
        gauge('level', [point(0, 1)], 'W'),
        sum('total', CUMULATIVE, true),
        sum('balance', CUMULATIVE, false),
        sum('delta', DELTA, true),
        sum('change', DELTA, false),
      ),
    ).toEqual(['level W GAUGE', 'total - COUNTER', 'balance - GAUGE', 'delta - DELTA', 'change - DELTA']);
  });

  test.each(['histogram', 'exponentialHistogram'] as const)('of a %s: its count and its sum', (form) => {
    expect(metricsRead(histogram('latency', CUMULATIVE, { sum: 0.5 }, form))).toEqual([
      'latency.count{method=GET} 1 COUNTER',
      'latency.sum{method=GET} s COUNTER',
    ]);
    expect(metricsRead(histogram('latency', DELTA, { sum: 0.5 }, form))).toEqual([
      'latency.count{method=GET} 1 DELTA',
      'latency.sum{method=GET} s DELTA',
    ]);
    expect(metricsRead(histogram('latency', CUMULATIVE, {}, form))).toEqual([
      'latency.count{method=GET} 1 COUNTER',
    ]);
  });

  test('with one zero, since JSON has no other', () => {
    const [batch] = batchesOf(read(resource([gauge('g', [point(0, -0)])])));
    expect(batch!.values).toEqual([0]);
  });

  test('at whole milliseconds, whole numbers as numbers', () => {
    const whole: PointInit = {
      timeUnixNano: BigInt(START_MS) * 1_000_000n + 1_999_999n,
      value: { case: 'asInt', value: -7n },
    };
    const [batch] = batchesOf(read(resource([gauge('g', [whole])])));
    expect(samplesOf(batch!)).toEqual(['g@0.001=-7']);
  });

  test('in order of time, as batches of their node without a sequence', () => {
    const points = [point(3, 30), point(1, 10), point(2, 20), point(1, 11)];
    const [batch, ...others] = batchesOf(read(resource([gauge('g', points)])));
    expect(others).toEqual([]);
    expect(samplesOf(batch!)).toEqual(['g@1=10', 'g@1=11', 'g@2=20', 'g@3=30']);
    expect(batch).toMatchObject({
      sourceId: 'otlp/web-1/cart',
      epoch: 0,
      sequence: 0,
      domain: 'shop',
      cluster: 'cart',
      node: 'web-1',
      endOfInput: false,
    });
  });
});

describe('points are refused', () => {
  const reasonsOf = (...metrics: MetricInit[]) => {
    const { refusals, batches, points } = read(resource(metrics));
    expect(points).toBe(refusals.points);
    expect(batches).toEqual([]);
    return [...refusals.byReason];
  };
  const noTime = { ...point(0, 1), timeUnixNano: 0n };
  const flagged = { ...point(0, 1), flags: 1 };

  test.each<[keyof typeof REFUSALS, MetricInit, number]>([
    ['NO_NAME', gauge('', [point(0, 1), point(1, 1)]), 2],
    ['NO_TIME', gauge('g', [noTime]), 1],
    ['NO_TIME', histogram('h', DELTA, { timeUnixNano: 0n }), 1],
    ['NO_VALUE', gauge('g', [flagged]), 1],
    ['NO_VALUE', gauge('g', [{ timeUnixNano: 1n }]), 1],
    ['NO_VALUE', histogram('h', DELTA, { flags: 1 }), 1],
    ['NOT_FINITE', gauge('g', [point(0, Number.NaN), point(0, -Infinity)]), 2],
    ['NOT_FINITE', histogram('h', DELTA, { sum: Number.NaN }), 1],
    ['NO_TEMPORALITY', sum('s', UNSPECIFIED, true), 1],
    ['NO_TEMPORALITY', histogram('h', 7 as AggregationTemporality), 1],
    ['SUMMARY', { name: 's', data: { case: 'summary', value: { dataPoints: [{}, {}, {}] } } }, 3],
    ['UNIT_TOO_LONG', gauge('g', [point(0, 1)], 'u'.repeat(33)), 1],
    ['UNKNOWN_KIND', { name: 'future' }, 0],
  ])('with %s', (reason, metric, points) => {
    expect(reasonsOf(metric)).toEqual([[reason, points]]);
  });

  test('with NO_NODE where nothing names the node', () => {
    const { refusals, batches } = read(resource([gauge('g', [point(0, 1)])], { 'service.name': 'cart' }));
    expect(batches).toEqual([]);
    expect(refusals.text()).toBe(`g: ${REFUSALS.NO_NODE} (1 point)`);
  });

  test('with CONTESTED where another producer, scope or metric has the series', () => {
    const metrics = [gauge('g', [point(0, 1)])];
    const contested = (...resources: Parameters<typeof read>) =>
      read(...resources).refusals.byReason.get('CONTESTED');
    const instance = (id: string) => resource(metrics, { ...SHOP, 'service.instance.id': id });
    expect(contested(instance('a'), instance('b'))).toBe(1);
    expect(contested(resource(metrics, SHOP, 'one'), resource(metrics, SHOP, 'other'))).toBe(1);
    expect(
      contested(resource([gauge('h.count{method=GET}', [point(0, 1)]), gauge('h', [])])),
    ).toBeUndefined();
    expect(
      contested(resource([gauge('h.count', [point(0, 1, { method: 'GET' })]), histogram('h', DELTA)])),
    ).toBe(1);
    // A collector may cut what one producer reports into several pieces, and nodes do not disturb each other.
    expect(contested(instance('a'), instance('a'))).toBeUndefined();
    expect(
      contested(resource(metrics), resource(metrics, { ...SHOP, 'host.name': 'web-2' })),
    ).toBeUndefined();
  });

  test('while the good ones beside them are taken', () => {
    const result = read(resource([gauge('g', [point(0, 1), noTime, point(2, Number.NaN), point(3, 4)])]));
    expect(samplesOf(batchesOf(result)[0]!)).toEqual(['g@0=1', 'g@3=4']);
    expect([result.points, result.refusals.points]).toEqual([4, 2]);
  });

  test('by up to five names and reasons, the rest by number', () => {
    const bad = (name: string, count: number) => gauge(name, Array<PointInit>(count).fill(noTime));
    const { refusals } = read(
      resource([
        bad('a', 1),
        bad('b', 2),
        bad('a', 1),
        gauge('a', [flagged]),
        bad('c', 1),
        bad('d', 1),
        bad('e', 3),
        bad('f', 4),
      ]),
    );
    expect(refusals.points).toBe(14);
    expect(refusals.text()).toBe(
      'a: the point has no time (2 points); b: the point has no time (2 points); a: the point has no value (1 point); ' +
        'c: the point has no time (1 point); d: the point has no time (1 point); and 7 more points',
    );
    const nameless = read(resource([gauge('', [noTime]), bad('x'.repeat(500), 1)])).refusals.text();
    expect(nameless).toBe(
      `(no name): the metric has no name (1 point); ${'x'.repeat(127)}…: the point has no time (1 point)`,
    );
  });
});

describe('batches', () => {
  test('hold at most 8,192 samples, in order of time', () => {
    const points = Array.from({ length: 20_000 }, (_, i) => point(i % 100, i));
    const batches = batchesOf(read(resource([gauge('g', points)])));
    expect(batches.map((batch) => batch.values.length)).toEqual([8_192, 8_192, 3_616]);
    const seconds = batches.flatMap(samplesOf).map((sample) => Number(/@(.*)=/.exec(sample)![1]));
    expect(seconds).toEqual([...seconds].sort((a, b) => a - b));
  });

  test('hold at most 256 metrics', () => {
    const metrics = Array.from({ length: 600 }, (_, i) => gauge(`g${i}`, [point(0, i), point(1, i)]));
    const batches = batchesOf(read(resource(metrics)));
    expect(batches.map((batch) => batch.metrics.length)).toEqual([256, 256, 256, 256, 176]);
    expect(new Set(batches.flatMap(samplesOf)).size).toBe(1_200);
  });

  test('span no more time than an offset can say', () => {
    const DAY = 86_400;
    const batches = batchesOf(
      read(resource([gauge('g', [point(0, 1), point(20 * DAY, 2), point(40 * DAY, 3)])])),
    );
    expect(batches.map(samplesOf)).toEqual([['g@0=1', `g@${20 * DAY}=2`], [`g@${40 * DAY}=3`]]);
  });

  test('of several nodes come in order of time', () => {
    const late = resource([gauge('g', [point(50, 1)])]);
    const early = resource([gauge('g', [point(10, 1)])], { ...SHOP, 'host.name': 'web-2' });
    expect(batchesOf(read(late, early)).map((batch) => batch.node)).toEqual(['web-2', 'web-1']);
  });

  test('are the same bytes whether the export came as protobuf or as JSON, and each time', () => {
    const value = fc.double({ noNaN: true });
    const points = fc.array(
      fc.record({ at: fc.integer({ min: 0, max: 1e6 }), value, attribute: fc.string() }),
      { maxLength: 20 },
    );
    const shape = fc.array(fc.record({ host: fc.string(), metric: fc.string(), points }), { maxLength: 5 });
    fc.assert(
      fc.property(shape, (given) => {
        const message = request(
          ...given.map(({ host, metric, points: of }) =>
            resource(
              [
                gauge(
                  metric,
                  of.map((one) => point(one.at, one.value, { a: one.attribute })),
                ),
              ],
              {
                ...SHOP,
                'host.name': host,
              },
            ),
          ),
        );
        const { protobuf, json } = encoded(message);
        const [first, again, asJson] = (
          [
            [protobuf, 'protobuf'],
            [protobuf, 'protobuf'],
            [json, 'json'],
          ] as const
        ).map(([bytes, format]) => runThrough(readExport(metricsOf(bytes, format))));
        expect(again!.batches).toEqual(first!.batches);
        expect(asJson!.batches).toEqual(first!.batches);
        expect(asJson!.refusals.text()).toBe(first!.refusals.text());
        expect(first!.points).toBe(given.reduce((total, { points: of }) => total + of.length, 0));
      }),
    );
  });

  test('are duplicates when they come again, and everything balances', () => {
    const harness = createHarness();
    const metrics = [gauge('g', [point(0, 1), point(1, 2)]), sum('total', CUMULATIVE, true)];
    const send = () => {
      for (const { domain, cluster, node, wire } of read(resource(metrics)).batches)
        harness.sendRaw(wire, `homeostat.telemetry.v1.${domain}.${cluster}.${node}`, 10 * 86_400);
    };
    send();
    send();
    const stream = harness.fold.stream('shop', 'cart');
    expect(totals(stream, 'samples')).toEqual(counts({ [ACCEPTED]: 3, [DUPLICATE]: 3 }));
    expect([...stream.origins]).toEqual([['service.namespace,service.name,host.name', 1]]);
  });
});

describe('what is not an export', () => {
  const text = (it: string) => new TextEncoder().encode(it);
  const attempt = (bytes: Uint8Array, format: 'protobuf' | 'json') =>
    runThrough(readExport(metricsOf(bytes, format)));

  test.each([
    '',
    '[]',
    '7',
    'null',
    '{"resourceMetrics":{}}',
    '{"resourceMetrics":[7]}',
    '{"resourceMetrics":',
  ])('as JSON %j is unreadable', (json) => {
    expect(() => attempt(text(json), 'json')).toThrow(UnreadableExport);
  });

  test('nests no deeper than it may', () => {
    const nested = `${'{"arrayValue":{"values":['.repeat(200)}${']}}'.repeat(200)}`;
    const json = `{"resourceMetrics":[{"resource":{"attributes":[{"key":"a","value":${nested}}]}}]}`;
    expect(() => attempt(text(json), 'json')).toThrow(UnreadableExport);
  });

  test('is read past unknown fields and names of the other spelling', () => {
    const json = {
      resource_metrics: [
        {
          schemaUrl: 'x',
          resource: {
            attributes: [{ key: 'host.name', value: { stringValue: 'h' } }],
            droppedAttributesCount: 1,
          },
          scope_metrics: [
            {
              metrics: [
                {
                  name: 'g',
                  description: 'text',
                  gauge: {
                    dataPoints: [
                      {
                        timeUnixNano: '1767571200000000000',
                        startTimeUnixNano: 5,
                        asInt: 3,
                        exemplars: [{ traceId: 'hexadecimal', asDouble: 1 }],
                      },
                    ],
                  },
                },
              ],
            },
          ],
        },
      ],
    };
    const result = attempt(text(JSON.stringify(json)), 'json');
    expect(samplesOf(batchesOf(result)[0]!)).toEqual(['g@0=3']);
  });

  test('never brings down the reader: damaged bytes are read or unreadable', () => {
    const { protobuf, json } = encoded(
      request(resource([gauge('g', [point(0, 1, { a: 'b' })]), histogram('h', DELTA, { sum: 1 })])),
    );
    fc.assert(
      fc.property(
        fc.constantFrom(['protobuf', protobuf] as const, ['json', json] as const),
        fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { maxLength: 4 }),
        fc.nat(),
        ([format, good], changes, length) => {
          const bytes = good.slice(0, 1 + (length % good.length));
          for (const [at, byte] of changes) bytes[at % bytes.length] = byte;
          try {
            expect(attempt(bytes, format).points).toBeGreaterThanOrEqual(0);
          } catch (error) {
            expect(error).toBeInstanceOf(UnreadableExport);
          }
        },
      ),
      { numRuns: 3_000 },
    );
  });
});
