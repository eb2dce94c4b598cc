/**
 * P10: the latency of EnergyService/Predict on maps of 64 x 64 cells, of a stream that was fed through NATS and learned
 * as in production, beside a bare grpc-js server that echoes the same grid. Clients call one after the other, each on a
 * connection of its own. The bar is the 95th percentile with 16 clients; other numbers of clients are reported.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connectProducer } from '../src/bus/producer.ts';
import { createClients } from '../src/client/client.ts';
import { callHeaders, framed, withBodyFile } from './edge-calls.ts';
import { h2loadMissing, timeH2load } from './h2load.ts';
import { type Bench, type BenchOptions, type BenchRow, median, runPairs } from './harness.ts';
import { checkCall, quantile } from './open-loop.ts';
import { type Asked, feedWindows, PREDICT_PATH, predictBody } from './predict-calls.ts';
import { type ServerProcess, startServerProcess } from './server-process.ts';

const CLIENTS = 16;
const OTHER_CLIENTS = [1, 4, 64];
const P95_MAX_MS = 25;
const WINDOWS = 24;
const GRID_BYTES = 4 * 64 * 64;
/** Least size of a reply: the grids of it. A refusal has none, so that the mean of all replies falls below it. */
const REPLY_BYTES_MIN = { product: 3 * GRID_BYTES, echo: GRID_BYTES };

const TITLES: Readonly<Record<Asked, string>> = {
  latest: "from the stream's latest map",
  handed: 'from a map handed in, by what the stream learned',
  alone: 'from a map handed in alone',
};

export const predict: Bench = {
  id: 'P10',
  title: `Predict of 64 x 64 cells with ${CLIENTS} clients beside a bare grpc-js echo of the grid`,
  bar: 0,
  async run(options) {
    const skipped = h2loadMissing();
    if (skipped) return { id: predict.id, title: predict.title, skipped };
    const folder = mkdtempSync(join(tmpdir(), 'homeostat-bench-'));
    const handover = join(folder, 'handover');
    const product = await startServerProcess('predict-server', 'product', join(folder, 'data'), handover);
    const echo = await startServerProcess('predict-server', 'echo');
    try {
      const [keyFile, urlFile] = JSON.parse(readFileSync(handover, 'utf8')) as [string, string];
      const token = readFileSync(keyFile, 'utf8').trim();
      await feed(product.address, token, readFileSync(urlFile, 'utf8').trim());
      const rows: BenchRow[] = [];
      for (const asked of ['latest', 'handed', 'alone'] as const)
        rows.push(await compare(asked, { product, echo, headers: callHeaders(token) }, options));
      return rows;
    } finally {
      await Promise.all([product.stop(), echo.stop()]);
      rmSync(folder, { recursive: true, force: true });
    }
  },
};

async function feed(address: string, token: string, url: string): Promise<void> {
  const producer = await connectProducer({ url });
  const clients = createClients({ address, token });
  await feedWindows(producer, clients, WINDOWS);
  clients.close();
  await producer.close();
}

interface Sides {
  readonly product: ServerProcess;
  readonly echo: ServerProcess;
  readonly headers: Readonly<Record<string, string>>;
}

async function compare(asked: Asked, sides: Sides, { pairs, seconds }: BenchOptions): Promise<BenchRow> {
  const { product, echo, headers } = sides;
  const tails = { product: [] as number[], echo: [] as number[] };
  const load = async (side: 'product' | 'echo', clients: number) => {
    const { address } = side === 'product' ? product : echo;
    // The echo answers with the grid it is given.
    const body = predictBody(side === 'product' ? asked : 'alone');
    await checkCall({ address, path: PREDICT_PATH, headers, body: framed(body) });
    const timed = await withBodyFile(body, (bodyFile) =>
      timeH2load({
        url: `http://${address}${PREDICT_PATH}`,
        seconds,
        connections: clients,
        inFlight: 1,
        headers,
        bodyFile,
      }),
    );
    const isWhole = timed.replyBytes >= REPLY_BYTES_MIN[side];
    return { ...timed, isWhole, p95Ms: quantile(timed.latencies, 0.95) };
  };
  const measured = async (side: 'product' | 'echo') => {
    const { ratePerSecond, p95Ms, isWhole } = await load(side, CLIENTS);
    if (!isWhole) throw new Error(`calls of the ${side} were refused`);
    tails[side].push(p95Ms);
    return ratePerSecond;
  };
  const row = await runPairs({
    id: predict.id,
    name: `${predict.title}, ${TITLES[asked]}`,
    bar: predict.bar,
    unit: 'calls/s',
    pairs,
    a: () => measured('product'),
    b: () => measured('echo'),
  });
  const others: string[] = [];
  for (const clients of OTHER_CLIENTS) {
    // So many may be more than the server takes on at once, which is its right, and is told.
    const { p95Ms, isWhole } = await load('product', clients);
    others.push(`${isWhole ? `${p95Ms.toFixed(1)} ms` : 'some refused'} with ${clients}`);
  }
  // The first of each side was for warming up.
  const [p95Ms, echoMs] = [tails.product, tails.echo].map((each) => median(each.slice(1))) as [
    number,
    number,
  ];
  return {
    ...row,
    checks: [{ name: `p95 with ${CLIENTS} clients, ms`, value: p95Ms, atMost: P95_MAX_MS }],
    notes: [
      'h2load',
      `p95 ${p95Ms.toFixed(1)} ms against ${echoMs.toFixed(1)} ms`,
      `p95 ${others.join(', ')} clients`,
    ],
  };
}
