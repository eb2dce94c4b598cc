/** TLS and mutual TLS of both edges, with a certificate authority of the test's own. */
import { once } from 'node:events';
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { request as httpsRequest } from 'node:https';
import { connect as connectTcp } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as connectTls, type SecureVersion } from 'node:tls';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { pino } from 'pino';
import { openChannel } from '../../src/client/channel.ts';
import { MetricsService } from '../../src/gen/opentelemetry/proto/collector/metrics/v1/metrics_service_pb.ts';
import { createPosts } from '../../src/http/posts.ts';
import { httpRoute } from '../../src/http/route.ts';
import { createHttpServer, type HttpServer } from '../../src/http/serve.ts';
import { createMetrics, type Logger } from '../../src/observability.ts';
import type { Peer } from '../../src/rpc/handler.ts';
import { type MutualTls, openTls, type Tls, type TlsConfig } from '../../src/rpc/tls.ts';
import { principalOf } from '../support/calls.ts';
import { createFakeClock, type FakeClock } from '../support/fake-clock.ts';
import { type KeyPair, makeAuthority, makeCertificate, opensslMissing } from './certificates.ts';
import { type EdgeWorld, startEdge, TOKEN, until } from './edge-world.ts';
import { probeBinding, probeClient } from './probe-contract.ts';

const missing = opensslMissing();
const RELOAD_MS = 5_000;

(missing ? describe.skip : describe)(`identity.X1 TLS${missing ? ` (${missing})` : ''}`, () => {
  let folder: string;
  let authority: KeyPair;
  let stranger: KeyPair;
  let first: KeyPair;
  let second: KeyPair;
  let client: KeyPair;
  let foreign: KeyPair;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'homeostat-tls-'));
    authority = makeAuthority(folder, 'authority');
    stranger = makeAuthority(folder, 'stranger');
    first = makeCertificate(folder, authority, 'first');
    second = makeCertificate(folder, authority, 'second', { days: 60 });
    client = makeCertificate(folder, authority, 'client', {
      names: 'URI:spiffe://fleet/node-7,URI:urn:x,DNS:n7',
    });
    foreign = makeCertificate(folder, stranger, 'foreign', { names: 'URI:spiffe://fleet/node-7' });
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  let clock: FakeClock;
  let config: TlsConfig;
  let lines: Record<string, unknown>[];
  let logger: Logger;
  let tls: Tls | undefined;
  let world: EdgeWorld | undefined;
  let http: HttpServer | undefined;
  let closers: (() => void)[];
  beforeEach(() => {
    clock = createFakeClock(Date.now());
    const own: Record<string, unknown>[] = [];
    lines = own;
    // What an earlier test left at work writes to the lines of that test.
    logger = pino(
      { level: 'info', base: null },
      { write: (line: string) => void own.push(JSON.parse(line)) },
    );
    closers = [];
    config = {
      certFile: join(folder, 'server.pem'),
      keyFile: join(folder, 'server.key'),
      clientCaFile: '',
      mtls: 'off',
      reloadMs: RELOAD_MS,
    };
    install(first);
  });
  afterEach(async () => {
    for (const close of closers) close();
    await http?.stop();
    await world?.stop();
    tls?.stop();
    world = http = tls = undefined;
    expect(clock.pending()).toBe(0);
  });

  function install({ certFile, keyFile }: KeyPair) {
    copyFileSync(certFile, config.certFile);
    copyFileSync(keyFile, config.keyFile);
  }

  const metrics = createMetrics();

  async function open(mtls: MutualTls = 'off'): Promise<Tls> {
    config = { ...config, mtls, clientCaFile: mtls === 'off' ? '' : authority.certFile };
    tls = await openTls({ config, clock, logger, metrics: createMetrics() });
    return tls;
  }

  async function start(mtls: MutualTls = 'off') {
    const peers: Peer[] = [];
    const binding = probeBinding({
      greet: (_request, { peer }) => {
        peers.push(peer);
        return { text: 'here' };
      },
    });
    world = await startEdge({ bindings: [binding], clock, tls: await open(mtls) });
    return { world, peers };
  }

  /** Asks over a channel of its own. */
  async function greet(files: { readonly ca: KeyPair; readonly own?: KeyPair }): Promise<string> {
    const { ca, own } = files;
    const options = { address: world!.address, token: TOKEN, retry: { attempts: 1 }, timeoutMs: 5_000 };
    const channel = openChannel({ ...options, tls: { caFile: ca.certFile, ...own } });
    try {
      return (await probeClient(channel).greet({})).text;
    } finally {
      channel.close();
    }
  }

  /** Opens a TLS connection; resolves with the certificate's fingerprint, or the error. */
  async function shake(options: { minVersion?: SecureVersion; maxVersion?: SecureVersion; alpn?: string }) {
    const port = Number(world!.address.split(':')[1]);
    const socket = connectTls({
      port,
      host: '127.0.0.1',
      ca: readFileSync(authority.certFile),
      ALPNProtocols: [options.alpn ?? 'h2'],
      ...options,
    });
    closers.push(() => socket.destroy());
    try {
      await once(socket, 'secureConnect');
      return socket.getPeerCertificate().subject.CN;
    } catch (error) {
      return (error as NodeJS.ErrnoException).code;
    }
  }

  describe('on gRPC', () => {
    test('serves clients that trust its authority, and nobody else', async () => {
      await start();
      expect(await greet({ ca: authority })).toBe('here');
      await expect(greet({ ca: stranger })).rejects.toMatchObject({ code: 'UNAVAILABLE' });
      const plain = world!.channelWith(TOKEN);
      await expect(probeClient(plain).greet({})).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    });

    test('speaks no TLS before 1.2, and nothing but HTTP/2', async () => {
      await start();
      expect(await shake({ maxVersion: 'TLSv1.2' })).toBe('first');
      expect(await shake({ minVersion: 'TLSv1.3' })).toBe('first');
      expect(await shake({ minVersion: 'TLSv1', maxVersion: 'TLSv1.1' })).toMatch(/^ERR_SSL/);
      expect(await shake({ alpn: 'http/1.1' })).toMatch(/^ERR_SSL/);
      await until(async () =>
        (await world!.metrics.exposition()).includes('refused_total{reason="HANDSHAKE"} 2'),
      );
    });

    test('drops a connection whose handshake does not end in time', async () => {
      await start();
      const socket = connectTcp(Number(world!.address.split(':')[1]), '127.0.0.1');
      closers.push(() => socket.destroy());
      socket.on('error', () => {}).resume();
      await once(socket, 'connect');
      socket.write(Buffer.from([0x16, 0x03, 0x01])); // Three bytes of a hello.
      await until(async () => (await world!.metrics.exposition()).includes('homeostat_rpc_connections 1'));
      await clock.advance(4_900);
      expect(socket.destroyed).toBe(false);
      await clock.advance(1_100);
      await until(() => socket.destroyed);
      expect(await world!.metrics.exposition()).toContain('refused_total{reason="FIRST_BYTE"} 1');
      expect(await greet({ ca: authority })).toBe('here');
    });
  });

  describe('with certificates of clients', () => {
    test('required refuses who has none, or one of another authority, and tells handlers of good ones', async () => {
      const { peers } = await start('required');
      await expect(greet({ ca: authority })).rejects.toMatchObject({ code: 'UNAVAILABLE' });
      await expect(greet({ ca: authority, own: foreign })).rejects.toMatchObject({ code: 'UNAVAILABLE' });
      expect(await greet({ ca: authority, own: client })).toBe('here');
      expect(peers).toEqual([
        {
          address: '127.0.0.1',
          certificate: {
            uris: ['spiffe://fleet/node-7', 'urn:x'],
            sha256: expect.stringMatching(/^[A-Za-z0-9_-]{43}$/),
          },
        },
      ]);
    });

    test('is enough without a token, where the verifier knows it', async () => {
      const seen: (string | undefined)[] = [];
      world = await startEdge({
        bindings: [probeBinding({ echo: (_request, { principal }) => ({ text: principal.id }) })],
        clock,
        tls: await open('optional'),
        verifier: {
          verify(token, peer) {
            seen.push(token);
            return principalOf(peer.certificate!.uris[0]!, 'probe.read');
          },
        },
      });
      const call = async (own?: KeyPair) => {
        const channel = openChannel({ address: world!.address, tls: { caFile: authority.certFile, ...own } });
        closers.push(() => channel.close());
        return (await probeClient(channel).echo({})).text;
      };
      expect(await call(client)).toBe('spiffe://fleet/node-7');
      await expect(call()).rejects.toMatchObject({ reason: 'MISSING_CREDENTIALS' });
      expect(seen).toEqual([undefined]);
    });

    test('optional takes who has none, and refuses who has a bad one', async () => {
      const { peers } = await start('optional');
      expect(await greet({ ca: authority })).toBe('here');
      expect(await greet({ ca: authority, own: client })).toBe('here');
      await expect(greet({ ca: authority, own: foreign })).rejects.toMatchObject({ code: 'UNAVAILABLE' });
      expect(peers.map((peer) => peer.certificate !== undefined)).toEqual([false, true]);
      expect(await world!.metrics.exposition()).toContain('refused_total{reason="CERTIFICATE"}');
    });

    test('off does not ask for one', async () => {
      const { peers } = await start('off');
      expect(await greet({ ca: authority, own: client })).toBe('here');
      expect(peers).toMatchObject([{ certificate: undefined }]);
    });
  });

  describe('when its files change', () => {
    test('takes a new certificate for new connections, and those there are go on', async () => {
      await start();
      const channel = openChannel({
        address: world!.address,
        token: TOKEN,
        tls: { caFile: authority.certFile },
      });
      closers.push(() => channel.close());
      await probeClient(channel).greet({});
      install(second);
      await clock.advance(RELOAD_MS);
      await until(() => lines.some((line) => line['msg'] === 'certificate taken'));
      expect(await shake({})).toBe('second');
      expect(await probeClient(channel).greet({})).toMatchObject({ text: 'here' });
      await clock.advance(10 * RELOAD_MS);
      expect(lines).toHaveLength(1);
    });

    test.each<[string, () => void]>([
      ['is no certificate', () => writeFileSync(config.certFile, 'not PEM')],
      ['does not go with the key', () => copyFileSync(second.certFile, config.certFile)],
      ['is gone', () => rmSync(config.certFile)],
    ])(
      'keeps the last good one when the new one %s, says so once, and takes the next',
      async (_what, spoil) => {
        await start();
        spoil();
        await clock.advance(RELOAD_MS);
        await until(() => lines.length > 0);
        await clock.advance(10 * RELOAD_MS);
        expect(lines).toEqual([
          expect.objectContaining({ level: 50, msg: 'certificate not taken, the last good one stays' }),
        ]);
        expect(await shake({})).toBe('first');
        install(second);
        await until(async () => {
          await clock.advance(RELOAD_MS); // It may still be at the last look.
          return lines.length === 2;
        });
        expect(await shake({})).toBe('second');
      },
    );

    test('refuses one that has expired already', async () => {
      clock = createFakeClock(Date.now() + 40 * 86_400_000);
      await expect(open()).rejects.toMatchObject({
        reason: 'TLS_UNUSABLE',
        message: expect.stringContaining('the certificate has expired'),
      });
    });
  });

  test('does not start without its files, and says which', async () => {
    rmSync(config.keyFile);
    await expect(open()).rejects.toMatchObject({
      reason: 'TLS_UNUSABLE',
      metadata: { file: config.certFile },
    });
  });

  test('takes no client certificates without an authority of its own', async () => {
    const unsafe = { ...config, mtls: 'required' } as const;
    await expect(openTls({ config: unsafe, clock, logger, metrics })).rejects.toMatchObject({
      message: expect.stringContaining('client certificates need an authority'),
    });
  });

  test('tells how long its certificate is good for', async () => {
    const own = createMetrics();
    tls = await openTls({ config, clock, logger, metrics: own });
    const days = async () => Number(/expiry_seconds (\d\S+)/.exec(await own.exposition())![1]) / 86_400;
    expect(await days()).toBeCloseTo(30, 1);
    install(second);
    await clock.advance(RELOAD_MS);
    await until(() => lines.length > 0);
    expect(await days()).toBeCloseTo(60, 1);
  });

  describe('on HTTP', () => {
    async function startHttp(mtls: MutualTls) {
      const { world: edge } = await start(mtls);
      const route = httpRoute('/v1/metrics', MetricsService.method.export, async () => ({}));
      const posts = createPosts({
        routes: [route],
        gate: edge.server.gate,
        bodyBytesMax: 1_000,
        certificateRequired: mtls === 'required',
        clock,
        logger,
        metrics: edge.metrics,
        createRequestId: () => 'request-1',
      });
      const address = { address: '127.0.0.1:0', corsOrigins: [] };
      const { health } = edge.server;
      http = createHttpServer({
        config: address,
        clock,
        logger,
        metrics: edge.metrics,
        health,
        posts,
        tls: tls!,
      });
      return Number((await http.start()).split(':')[1]);
    }

    /** Status of a request, or the error's code. */
    function ask(port: number, path: string, { own, ca = authority }: { own?: KeyPair; ca?: KeyPair } = {}) {
      return new Promise<number | string | undefined>((resolve) => {
        const isPost = path === '/v1/metrics';
        const request = httpsRequest({
          port,
          host: '127.0.0.1',
          path,
          agent: false,
          ca: readFileSync(ca.certFile),
          method: isPost ? 'POST' : 'GET',
          headers: { authorization: `Bearer ${TOKEN}`, 'content-type': 'application/x-protobuf' },
          ...(own && { cert: readFileSync(own.certFile), key: readFileSync(own.keyFile) }),
        });
        request.on('response', (response) => {
          response.resume();
          resolve(response.statusCode);
        });
        request.on('error', (error: NodeJS.ErrnoException) => resolve(error.code));
        request.end();
      });
    }

    test('serves clients that trust its authority', async () => {
      const port = await startHttp('off');
      expect(await ask(port, '/readyz')).toBe(200);
      expect(await ask(port, '/v1/metrics')).toBe(200);
      expect(await ask(port, '/readyz', { ca: stranger })).toBe('UNABLE_TO_VERIFY_LEAF_SIGNATURE');
    });

    test('asks posts, but not probes, for the certificate that is required', async () => {
      const port = await startHttp('required');
      expect(await ask(port, '/livez')).toBe(200);
      expect(await ask(port, '/v1/metrics')).toBe(401);
      expect(await ask(port, '/v1/metrics', { own: client })).toBe(200);
      expect(await ask(port, '/livez', { own: foreign })).toBe('ECONNRESET');
    });
  });
});
