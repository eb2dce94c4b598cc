/** What OpenTelemetry attributes become: names of series, and of domain, cluster and node. */
import { create } from '@bufbuild/protobuf';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  type AnyValue,
  AnyValueSchema,
  KeyValueSchema,
} from '../../../src/gen/opentelemetry/proto/common/v1/common_pb.ts';
import { textOf } from '../../../src/telemetry/otlp/attribute.ts';
import { placeOfResource } from '../../../src/telemetry/otlp/place.ts';
import { NAME_MAX, seriesName } from '../../../src/telemetry/otlp/series.ts';
import { attributes } from './exports.ts';

const given = (texts: Record<string, string>) => attributes(texts).map((one) => create(KeyValueSchema, one));
const named = (metric: string, texts: Record<string, string> = {}) => seriesName(metric, given(texts));

describe('the text of a value', () => {
  const value = (chosen: AnyValue['value']) => textOf(create(AnyValueSchema, { value: chosen as never }));

  test.each<[string, AnyValue['value'], string]>([
    ['text', { case: 'stringValue', value: 'a "b"' }, 'a "b"'],
    ['a boolean', { case: 'boolValue', value: true }, 'true'],
    ['a whole number beyond doubles', { case: 'intValue', value: 9007199254740993n }, '9007199254740993'],
    ['a number', { case: 'doubleValue', value: 0.1 }, '0.1'],
    ['minus zero', { case: 'doubleValue', value: -0 }, '0'],
    ['bytes', { case: 'bytesValue', value: Uint8Array.from([255, 0]) }, '/wA='],
    ['nothing', { case: undefined }, ''],
  ])('that is %s', (_name, chosen, text) => {
    expect(value(chosen)).toBe(text);
  });

  test('that is a list or a map is JSON with sorted keys', () => {
    const text = (it: string) => create(AnyValueSchema, { value: { case: 'stringValue', value: it } });
    const map = {
      values: [
        create(KeyValueSchema, { key: 'b', value: text('2') }),
        create(KeyValueSchema, { key: 'a', value: text('"') }),
      ],
    };
    expect(value({ case: 'kvlistValue', value: map as never })).toBe('{"a":"\\"","b":"2"}');
    expect(value({ case: 'arrayValue', value: { values: [text('x'), text('y')] } as never })).toBe(
      '["x","y"]',
    );
  });
});

describe('the name of a series', () => {
  test('is that of its metric, and its attributes in order of their keys', () => {
    expect(named('system.cpu.time')).toBe('system.cpu.time');
    expect(named('system.cpu.time', { state: 'user', cpu: '0' })).toBe('system.cpu.time{cpu=0,state=user}');
    expect(named('requests', { route: '/cart/{id}' })).toBe('requests{route=/cart/{id}}');
  });

  test('is the same in whatever order the attributes come', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.string(), { maxKeys: 5 }), (texts) => {
        const reversed = Object.fromEntries(Object.entries(texts).reverse());
        expect(named('m', reversed)).toBe(named('m', texts));
      }),
    );
  });

  test('is another for another metric or other attributes', () => {
    const awkward = fc.string({ unit: fc.constantFrom('a', '\\', '{', '}', '=', ',', '~'), maxLength: 6 });
    const series = fc.tuple(
      awkward.filter((name) => name !== ''),
      fc.dictionary(awkward, awkward, { maxKeys: 3, noNullPrototype: true }),
    );
    const identity = ([metric, texts]: [string, Record<string, string>]) =>
      JSON.stringify([metric, Object.entries(texts).sort()]);
    fc.assert(
      fc.property(series, series, (one, other) => {
        expect(named(...one) === named(...other)).toBe(identity(one) === identity(other));
      }),
      { numRuns: 2_000 },
    );
  });

  test('is never longer than a metric may be called, and stays one of its own', () => {
    const long = { route: '/a'.repeat(80), method: 'GET' };
    const name = named('http.server.request.duration', long);
    expect(name).toMatch(/^http\.server\.request\.duration\{method=GET,route=[/a]+~[0-9a-f]{16}$/);
    expect(name).toHaveLength(NAME_MAX);
    expect(named('http.server.request.duration', { ...long, method: 'PUT' })).not.toBe(name);
    expect(named('x'.repeat(128))).toBe('x'.repeat(128));
    expect(named('x'.repeat(129))).toMatch(/^x{111}~[0-9a-f]{16}$/);
    expect(named(`${'x'.repeat(110)}${'😀'.repeat(20)}`)).toMatch(/^x{110}~[0-9a-f]{16}$/);
  });
});

describe('the place of a resource', () => {
  const place = (texts: Record<string, string>) => placeOfResource(given(texts));

  test('is what it says in so many words', () => {
    const said = { 'homeostat.domain': 'lab', 'homeostat.cluster': 'west', 'homeostat.node': 'n1' };
    expect(place({ 'host.name': 'h', 'service.name': 's', 'service.namespace': 'x', ...said })).toMatchObject(
      {
        domain: 'lab',
        cluster: 'west',
        node: 'n1',
        labels: { 'homeostat.origin': 'homeostat.domain,homeostat.cluster,homeostat.node' },
      },
    );
  });

  test.each([
    ['domain', ['service.namespace', 'deployment.environment.name', 'deployment.environment']],
    ['cluster', ['k8s.cluster.name', 'service.name']],
    ['node', ['host.name', 'host.id', 'k8s.node.name', 'service.instance.id']],
  ] as const)('has its %s from the first attribute there is', (part, keys) => {
    for (let first = 0; first < keys.length; first++) {
      const texts = Object.fromEntries(
        keys.slice(first).map((key) => [key, `of-${key.replaceAll('.', '-')}`]),
      );
      const found = place(part === 'node' ? texts : { 'homeostat.node': 'n1', ...texts })!;
      expect(found[part]).toBe(`of-${keys[first]!.replaceAll('.', '-')}`);
      expect(found.labels['homeostat.origin']!.split(',')).toContain(keys[first]);
    }
  });

  test('has a default for domain and cluster, and none for the node', () => {
    expect(place({ 'host.name': 'h' })).toMatchObject({
      domain: 'default',
      cluster: 'default',
      node: 'h',
      sourceId: 'otlp/h',
      labels: { 'homeostat.origin': ',,host.name' },
    });
    expect(place({ 'service.name': 'cart', 'host.name': '' })).toBeUndefined();
  });

  test('does not take a service nobody named for a cluster', () => {
    expect(place({ 'host.name': 'h', 'service.name': 'unknown_service:node' })).toMatchObject({
      cluster: 'default',
      sourceId: 'otlp/h',
    });
  });

  test('tells producers on one node apart', () => {
    const service = { 'host.name': 'h', 'service.name': 'cart' };
    expect(place({ ...service, 'service.instance.id': 'a' })!.sourceId).toBe('otlp/h/cart/a');
    expect(place({ ...service, 'service.instance.id': 'b' })!.sourceId).toBe('otlp/h/cart/b');
    expect(place({ ...service, 'service.instance.id': 'ü'.repeat(200) })!.sourceId).toMatch(
      /^otlp\/h\/cart\/_+-[0-9a-f]{8}$/,
    );
  });

  test('takes along the cell its node declares', () => {
    expect(place({ 'host.name': 'h', 'homeostat.row': '1', 'homeostat.col': '2' })!.labels).toEqual({
      'homeostat.origin': ',,host.name',
      'homeostat.row': '1',
      'homeostat.col': '2',
    });
  });

  test('keeps names that may be used, and makes others usable without making them equal', () => {
    expect(place({ 'host.name': 'a.b-c_9' })!.node).toBe('a.b-c_9');
    expect(place({ 'host.name': 'h', 'service.namespace': 'a.b' })!.domain).toMatch(/^a_b-[0-9a-f]{8}$/);
    fc.assert(
      fc.property(fc.string({ minLength: 1 }), fc.string({ minLength: 1 }), (one, other) => {
        const [first, second] = [one, other].map(
          (text) => place({ 'host.name': text, 'service.namespace': text, 'k8s.cluster.name': text })!,
        );
        expect(first!.node).toMatch(/^[A-Za-z0-9._-]{1,64}$/);
        expect(first!.domain).toMatch(/^[A-Za-z0-9_-]{1,64}$/);
        expect(first!.cluster).toMatch(/^[A-Za-z0-9_-]{1,64}$/);
        expect(first!.sourceId.length).toBeLessThanOrEqual(128);
        expect(first!.node === second!.node).toBe(one === other);
        expect(first!.domain === second!.domain).toBe(one === other);
      }),
    );
    expect(place({ 'host.name': 'x'.repeat(65) })!.node).toMatch(/^x{55}-[0-9a-f]{8}$/);
  });
});
