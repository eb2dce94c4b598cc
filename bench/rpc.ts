/**
 * P3: a unary call through the whole edge (admission, credentials, permission, rate, validation, counters, deadline)
 * beside a bare grpc-js server that decodes the same request and encodes the same reply, which is sent the same headers.
 * Once with an API key and once with an access token, both through the product's own verifier. Throughput is driven by
 * h2load; the tail is taken open-loop at half of what the bare server did.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { callHeaders, framed, GET_MAP_PATH, getMapRequest, withBodyFile } from './edge-calls.ts';
import { h2loadMissing, runH2load } from './h2load.ts';
import { type Bench, type BenchOptions, type BenchRow, median, runPairs } from './harness.ts';
import { checkCall, type OpenLoop, quantile, runOpenLoop } from './open-loop.ts';
import { startServerProcess } from './server-process.ts';

const BAR = 0.75;
const AIM = 0.85;
const TAIL_RATIO_MAX = 1.5;

export const rpc: Bench = {
  id: 'P3',
  title: 'Unary call through the edge against a bare grpc-js server',
  bar: BAR,
  async run(options) {
    const skipped = h2loadMissing();
    if (skipped) return { id: rpc.id, title: rpc.title, skipped };
    return [await compare('key', 'API key', options), await compare('jwt', 'access token', options)];
  },
};

async function compare(kind: string, name: string, { pairs, seconds }: BenchOptions): Promise<BenchRow> {
  const folder = mkdtempSync(join(tmpdir(), 'homeostat-bench-'));
  const tokenFile = join(folder, 'token');
  const product = await startServerProcess('edge-server', 'edge', kind, tokenFile);
  const bare = await startServerProcess('edge-server', 'bare-rpc');
  try {
    const headers = callHeaders(readFileSync(tokenFile, 'utf8'));
    const call = { path: GET_MAP_PATH, headers, body: framed(getMapRequest) };
    await checkCall({ ...call, address: product.address });
    await checkCall({ ...call, address: bare.address });
    const title = `${rpc.title}, ${name}`;
    const row = await withBodyFile(getMapRequest, (bodyFile) => {
      const load = (address: string) =>
        runH2load({
          url: `http://${address}${GET_MAP_PATH}`,
          seconds,
          connections: 8,
          inFlight: 16,
          headers,
          bodyFile,
        });
      return runPairs({
        id: rpc.id,
        name: title,
        bar: BAR,
        unit: 'calls/s',
        pairs,
        a: () => load(product.address),
        b: () => load(bare.address),
      });
    });
    const tails = await compareTails(product.address, bare.address, call, row.rateB / 2, pairs, seconds);
    return {
      ...row,
      checks: [{ name: 'p99 at half of the bare rate, ratio', value: tails.ratio, atMost: TAIL_RATIO_MAX }],
      notes: [
        `aim ${AIM}`,
        'h2load, 8 connections x 16 calls; 8x8 map, request with 4 rules',
        `p99 ${tails.product.toFixed(2)} ms against ${tails.bare.toFixed(2)} ms, open loop`,
      ],
    };
  } finally {
    await Promise.all([product.stop(), bare.stop()]);
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Median p99 of both sides in milliseconds, and the median ratio of the pairs. */
async function compareTails(
  product: string,
  bare: string,
  call: Pick<OpenLoop, 'path' | 'headers' | 'body'>,
  ratePerSecond: number,
  pairs: number,
  seconds: number,
) {
  const tail = async (address: string) => {
    const latencies = await runOpenLoop({
      ...call,
      address,
      ratePerSecond,
      seconds,
      connections: 8,
    });
    return quantile(latencies, 0.99);
  };
  const ofProduct: number[] = [];
  const ofBare: number[] = [];
  for (let pair = 0; pair < pairs; pair++) {
    ofProduct.push(await tail(product));
    ofBare.push(await tail(bare));
    console.error(
      `P3 p99 ${pair + 1}/${pairs}: ${ofProduct.at(-1)!.toFixed(2)} / ${ofBare.at(-1)!.toFixed(2)} ms`,
    );
  }
  const ratios = ofProduct.map((value, pair) => value / ofBare[pair]!);
  return { product: median(ofProduct), bare: median(ofBare), ratio: median(ratios) };
}
