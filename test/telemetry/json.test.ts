import { describe, expect, test } from '@jest/globals';
import { ACCEPTED, DUPLICATE } from '../../src/telemetry/fold/counts.ts';
import { isJson } from '../../src/telemetry/message/json.ts';
import { SUMMARY_LAST } from '../../src/telemetry/window/closing.ts';
import { counts, createHarness, encodeBatch, START_MS, subjectOf } from './messages.ts';

const TIME = '2026-01-01T00:00:05Z';

describe('a message in JSON', () => {
  test('in its smallest form takes everything else from subject and broker', () => {
    const harness = createHarness();
    harness.sendRaw('{"metrics":{"cpu":0.42}}', subjectOf('web.1'), 5);
    harness.sendRaw('{"metrics":{"cpu":0.42}}', subjectOf('web.1'), 5);
    expect(harness.samples()).toEqual(counts({ [ACCEPTED]: 2 }));
    const [run] = harness.stream.sources.runs;
    expect(run).toMatchObject({ sourceId: 'web.1', epoch: 0, newestMs: START_MS + 5000 });
    expect(harness.stream.catalog).toMatchObject({
      nodes: [{ name: 'web.1' }],
      metrics: [{ name: 'cpu', unit: '1' }],
    });
    expect(harness.stream.head.unsequenced).toBe(2);
  });

  test.each([
    ['RFC 3339', `"${TIME}"`],
    ['RFC 3339 with an offset', '"2026-01-01T01:00:05+01:00"'],
    ['milliseconds', String(START_MS + 5000)],
  ])('takes its time in %s, and is then a duplicate when repeated', (_name, time) => {
    const harness = createHarness();
    for (let i = 0; i < 2; i++) harness.sendRaw(`{"time":${time},"metrics":{"cpu":1,"memory":2}}`);
    harness.sendRaw(`{"time":${time},"metrics":{"cpu":1,"memory":3}}`);
    expect(harness.samples()).toEqual(counts({ [ACCEPTED]: 4, [DUPLICATE]: 2 }));
    expect(harness.stream.watermark.newestMs).toBe(START_MS + 5000);
  });

  test('repeated after 10 minutes of event time is no longer told apart', () => {
    const harness = createHarness({ windowMs: 3_600_000 });
    harness.sendRaw(`{"time":"${TIME}","metrics":{"cpu":1}}`);
    harness.sendRaw('{"time":"2026-01-01T00:10:05Z","metrics":{"cpu":1}}');
    harness.sendRaw(`{"time":"${TIME}","metrics":{"cpu":1}}`);
    expect(harness.samples()).toEqual(counts({ [ACCEPTED]: 2, [DUPLICATE]: 1 }));
    harness.sendRaw('{"time":"2026-01-01T00:10:05.001Z","metrics":{"cpu":1}}');
    harness.sendRaw(`{"time":"${TIME}","metrics":{"cpu":1}}`);
    expect(harness.samples()).toEqual(counts({ [ACCEPTED]: 4, [DUPLICATE]: 1 }));
  });

  test('may be a whole batch in protobuf JSON', () => {
    const harness = createHarness();
    const batch = {
      sourceId: 'agent',
      epoch: 3,
      sequence: 7,
      base_time: TIME,
      metrics: [{ name: 'power', unit: 'W', kind: 'METRIC_KIND_GAUGE' }],
      metricIndex: [0, 0],
      offsetMs: [0, 500],
      values: [1, 'NaN'],
      labels: { 'homeostat.row': '1', 'homeostat.col': '2' },
    };
    harness.sendRaw(JSON.stringify(batch));
    harness.sendRaw(JSON.stringify(batch));
    expect(Array.from(harness.samples().slice(0, 6))).toEqual([1, 2, 0, 0, 0, 1]);
    expect(harness.stream.sources.runs[0]).toMatchObject({ sourceId: 'agent', epoch: 3 });
    expect(harness.stream.catalog.nodes[0]).toEqual({ name: 'n1', row: 1, col: 2 });
    expect(harness.stream.catalog.metrics[0]).toMatchObject({ unit: 'W' });
  });

  test('is the same as the batch in wire format', () => {
    const wire = createHarness();
    wire.send({ sequence: 1, samples: [[5, 4]], endOfInput: true });
    const json = createHarness();
    json.sendRaw(
      `{"sourceId":"agent","epoch":1,"sequence":1,"time":"${TIME}","metrics":{"cpu":4},"endOfInput":true}`,
    );
    expect(json.closed).toEqual(wire.closed);
    expect(json.closed[0]!.summaries[SUMMARY_LAST]).toBe(4);
  });

  test('rejects a null or an infinite value alone', () => {
    const harness = createHarness();
    harness.sendRaw(`{"time":"${TIME}","metrics":{"a":null,"b":"Infinity","c":1}}`);
    expect(Array.from(harness.samples().slice(0, 6))).toEqual([1, 0, 0, 0, 0, 2]);
  });

  test.each([
    ['a misspelt field', '{"metrics":{"cpu":1},"tiem":5}', /tiem/],
    ['seconds where milliseconds are meant', '{"metrics":{"cpu":1},"time":1767225605}', /milliseconds/],
    ['a time that is none', '{"metrics":{"cpu":1},"time":"noon"}', /./],
    ['a time of another type', '{"metrics":{"cpu":1},"time":{}}', /milliseconds/],
    ['a value that is no number', '{"metrics":{"cpu":"0.5"}}', /metrics\.cpu/],
    ['a list', '[{"metrics":{"cpu":1}}]', /./],
    ['a sequence without an epoch', '{"metrics":{"cpu":1},"sequence":1}', /epoch/],
    ['another node than its subject', '{"metrics":{"cpu":1},"node":"n2"}', /n2/],
    ['bytes that are not UTF-8', Uint8Array.from([0x7b, 0xff, 0x7d]), /./],
  ])('is refused with %s', (_name, payload, detail) => {
    const harness = createHarness();
    harness.sendRaw(payload);
    expect(harness.messages()[ACCEPTED]).toBe(0);
    expect(harness.fold.deadLetters).toHaveLength(1);
    expect(harness.fold.deadLetters[0]!.detail).toMatch(detail);
  });

  test('is told from the wire format by its first byte', () => {
    for (const text of ['{}', ' {}', '\t{}', '\r\n{}'])
      expect(isJson(new TextEncoder().encode(text))).toBe(true);
    expect(isJson(encodeBatch({ sequence: 1 }))).toBe(false);
    expect(isJson(encodeBatch({ source: '', sequence: 1 }))).toBe(false);
    expect(isJson(new Uint8Array(0))).toBe(false);
  });
});

test('a batch in wire format without a sequence is deduplicated by its content', () => {
  const harness = createHarness();
  for (let i = 0; i < 3; i++) harness.send({ sequence: 0, samples: [[1, 1]] });
  harness.send({ sequence: 0, samples: [[1, 2]] });
  expect(harness.samples()).toEqual(counts({ [ACCEPTED]: 2, [DUPLICATE]: 2 }));
});
