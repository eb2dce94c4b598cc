/**
 * The real OpenTelemetry exporters against a whole server: one batch over gRPC, HTTP with protobuf and HTTP with JSON
 * gives equal maps; what cannot be taken comes back by name and reason; what is repeated counts once.
 */
import { execFile, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { status } from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { DiagLogLevel, diag } from '@opentelemetry/api';
import { OTLPMetricExporter as ProtoExporter } from '@opentelemetry/exporter-metrics-otlp-proto';
import { detectResources, envDetector } from '@opentelemetry/resources';
import { openChannel } from '../../src/client/client.ts';
import { Health } from '../../src/gen/grpc/health/v1/health_pb.ts';
import type { EnergyMap } from '../../src/gen/homeostat/energy/v1/energy_service_pb.ts';
import { MetricsService } from '../../src/gen/opentelemetry/proto/collector/metrics/v1/metrics_service_pb.ts';
import { eventually } from '../support/eventually.ts';
import { startWorld, type World } from '../support/world.ts';
import {
  at,
  collectOnce,
  createApplication,
  createExporters,
  deliver,
  type Exporters,
  reportWhere,
  shutDown,
} from './otlp-exporters.ts';

/** One of them has a name that no node may have. */
const HOSTS = ['web-1.example.com', 'web-2.example.com', 'db 1'];
const ROUNDS = 30;
const STEP_SECONDS = 2;

let world: World;
let exporters: Exporters;

beforeAll(async () => {
  world = await startWorld();
  exporters = createExporters(world, world.adminKey);
});
afterAll(async () => {
  await shutDown(exporters);
  await world.stop();
});

describe('one batch over gRPC, HTTP with protobuf and HTTP with gzipped JSON', () => {
  const clusters = Object.entries({ grpc: 'by-grpc', protobuf: 'by-protobuf', json: 'by-json' });
  const reports = new Map<string, unknown>();
  const maps = new Map<string, readonly EnergyMap[]>();

  beforeAll(async () => {
    const applications = HOSTS.map(createApplication);
    for (let round = 0; round < ROUNDS; round++)
      for (const [host, application] of applications.entries()) {
        application.work(round, host);
        const collected = await application.collect();
        for (const [way, cluster] of clusters) {
          const metrics = at(collected, round * STEP_SECONDS, {
            'service.namespace': 'shop',
            'service.name': cluster,
            'host.name': HOSTS[host]!,
            'homeostat.row': 0,
            'homeostat.col': host,
          });
          expect(await deliver(exporters[way as keyof typeof exporters], metrics)).toBeUndefined();
        }
      }
    await Promise.all(applications.map((application) => application.shutdown()));
    for (const [, cluster] of clusters) {
      const stream = { domain: 'shop', cluster };
      const report = await reportWhere(
        world,
        stream,
        ({ messages, windowsClosed }) =>
          messages!.offered === BigInt(ROUNDS * HOSTS.length) && windowsClosed === 5n,
      );
      const { brokerSequence: _, ...rest } = report;
      reports.set(cluster, rest);
      const listed = await eventually(
        () => world.clients.energy.listMaps({ stream }),
        (answer) => answer.maps.length === 5,
      );
      maps.set(cluster, listed.maps);
    }
  }, 60_000);

  test('gives equal maps', () => {
    const [reference, ...others] = clusters.map(([, cluster]) =>
      maps.get(cluster)!.map(({ stream: _, ...map }) => map),
    );
    expect(reference).toHaveLength(5);
    expect(reference![4]!.nodes).toEqual(['web-1.example.com', 'web-2.example.com', 'db_1-4e0107b2']);
    expect(reference![4]!.unit).toBe('J');
    expect(reference![4]!.grid!.values.every((joules) => joules > 900 && joules < 1300)).toBe(true);
    for (const other of others) expect(other).toEqual(reference);
  });

  test('gives equal reports, in which everything was accepted', () => {
    const [reference, ...others] = clusters.map(([, cluster]) => reports.get(cluster));
    // power, two series of requests, queue.length, and two histograms of a count and a sum each.
    const samples = BigInt(ROUNDS * HOSTS.length * 8);
    expect(reference).toMatchObject({
      samples: { offered: samples, accepted: samples, duplicate: 0n, late: 0n, rejected: [] },
      attributeOrigins: [
        {
          domainAttribute: 'service.namespace',
          clusterAttribute: 'service.name',
          nodeAttribute: 'host.name',
          messages: BigInt(ROUNDS * HOSTS.length),
        },
      ],
    });
    for (const other of others) expect(other).toEqual(reference);
  });
});

describe('an exporter', () => {
  test.each(['grpc', 'protobuf', 'json'] as const)(
    'over %s is told what was refused, and why',
    async (way) => {
      const warnings: string[] = [];
      const log = { error() {}, info() {}, debug() {}, verbose() {} };
      diag.setLogger(
        { ...log, warn: (...words) => warnings.push(words.join(' ')) },
        { logLevel: DiagLogLevel.WARN, suppressOverrideMessage: true },
      );
      try {
        const nobody = at(await collectOnce(), 0, { 'service.name': 'nameless' });
        expect(await deliver(exporters[way], nobody)).toBeUndefined();
      } finally {
        diag.disable();
      }
      const reason =
        'its resource has none of homeostat.node, host.name, host.id, k8s.node.name, service.instance.id';
      expect(warnings).toHaveLength(1);
      const told = JSON.parse(warnings[0]!.replace(/^[^{]*/, ''));
      expect(Number(told.rejectedDataPoints)).toBe(6);
      expect(told.errorMessage).toBe(
        [
          `latency.fine: ${reason} (1 point)`,
          `power: ${reason} (1 point)`,
          `requests: ${reason} (2 points)`,
          `queue.length: ${reason} (1 point)`,
          `latency: ${reason} (1 point)`,
        ].join('; '),
      );
    },
  );

  test('that repeats itself, each time another way, is counted once', async () => {
    const stream = { domain: 'shop', cluster: 'repeated' };
    const metrics = at(await collectOnce(), 0, {
      'homeostat.domain': stream.domain,
      'homeostat.cluster': stream.cluster,
      'homeostat.node': 'n1',
    });
    for (const exporter of Object.values(exporters)) expect(await deliver(exporter, metrics)).toBeUndefined();
    const { samples, messages } = await reportWhere(
      world,
      stream,
      (report) => report.messages!.offered === 3n,
    );
    expect(messages).toMatchObject({ accepted: 1n, duplicate: 2n });
    expect(samples).toMatchObject({ offered: 24n, accepted: 8n, duplicate: 16n });
  });

  test('with a wrong key is refused', async () => {
    const strangers = createExporters(world, 'hk_live_0000000000_nothing');
    const metrics = at(await collectOnce(), 0, { 'host.name': 'h' });
    const [grpc, protobuf, json] = await Promise.all(
      [strangers.grpc, strangers.protobuf, strangers.json].map((exporter) => deliver(exporter, metrics)),
    );
    await shutDown(strangers);
    expect(grpc).toMatchObject({ code: status.UNAUTHENTICATED });
    expect(protobuf).toMatchObject({ code: 401 });
    expect(json).toMatchObject({ code: 401 });
  });

  test('finds the service healthy', async () => {
    const channel = openChannel({ address: world.server.grpcAddress });
    const answer = await channel.unary(Health.method.check, { service: MetricsService.typeName });
    channel.close();
    expect(answer.status).toBe(1);
  });
});

describe('as documented', () => {
  const page = (name: string) => readFileSync(new URL(`../../${name}`, import.meta.url), 'utf8');
  /** The first shell block after a heading or marker. */
  const blockAfter = (text: string, mark: string) =>
    /```sh\n([\s\S]*?)```/.exec(text.slice(text.indexOf(mark)))![1]!;
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'homeostat-otlp-'));
    symlinkSync(world.dataDir, join(folder, '.homeostat'));
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  const shell = async (script: string) => {
    const here = script.replaceAll('127.0.0.1:8080', world.server.httpAddress);
    return (await promisify(execFile)('bash', ['-c', here], { cwd: folder })).stdout;
  };

  test('an SDK is configured by its usual variables', async () => {
    const printed = await shell(`${blockAfter(page('docs/telemetry.md'), '## OpenTelemetry')}\nenv -0`);
    const variables = Object.fromEntries(
      printed
        .split('\0')
        .filter((line) => line.startsWith('OTEL_'))
        .map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
    );
    expect(Object.keys(variables)).toHaveLength(3);
    Object.assign(process.env, variables);
    try {
      const exporter = new ProtoExporter();
      const detected = detectResources({ detectors: [envDetector] });
      expect(
        await deliver(exporter, at(await collectOnce(), 0, detected.attributes as never)),
      ).toBeUndefined();
      await exporter.shutdown();
    } finally {
      for (const name of Object.keys(variables)) delete process.env[name];
    }
    const stream = { domain: 'shop', cluster: 'cart' };
    const { samples } = await reportWhere(world, stream, (report) => report.samples!.offered === 8n);
    expect(samples!.accepted).toBe(8n);
  });

  const hasCurl = spawnSync('curl', ['--version']).status === 0;
  (hasCurl ? test : test.skip)(
    'a hand-written export is taken with curl (skipped where it is not)',
    async () => {
      expect(JSON.parse(await shell(blockAfter(page('README.md'), '<!-- otlp -->')))).toEqual({});
      const stream = { domain: 'lab', cluster: 'web' };
      const { samples } = await reportWhere(world, stream, (report) => report.samples!.offered === 1n);
      expect(samples!.accepted).toBe(1n);
    },
  );
});
