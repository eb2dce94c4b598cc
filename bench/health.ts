/** P4: what `grpc.health.v1.Health/Check` costs beside the least that grpc-js can answer. */
import { framed, HEALTH_PATH, rpcHeaders, withBodyFile } from './edge-calls.ts';
import { h2loadMissing, runH2load } from './h2load.ts';
import { type Bench, runPairs } from './harness.ts';
import { checkCall } from './open-loop.ts';
import { startServerProcess } from './server-process.ts';

const BAR = 0.9;

export const health: Bench = {
  id: 'P4',
  title: 'grpc.health.v1 Check against a bare grpc-js handler of constant bytes',
  bar: BAR,
  async run({ pairs, seconds }) {
    const skipped = h2loadMissing();
    if (skipped) return { id: health.id, title: health.title, skipped };
    const product = await startServerProcess('edge-server', 'edge');
    const bare = await startServerProcess('edge-server', 'bare-health');
    try {
      const call = { path: HEALTH_PATH, headers: rpcHeaders, body: framed(new Uint8Array(0)) };
      await checkCall({ ...call, address: product.address });
      await checkCall({ ...call, address: bare.address });
      return await withBodyFile(new Uint8Array(0), (bodyFile) => {
        const load = (address: string) =>
          runH2load({
            url: `http://${address}${HEALTH_PATH}`,
            seconds,
            connections: 8,
            inFlight: 16,
            headers: rpcHeaders,
            bodyFile,
          });
        return runPairs({
          id: health.id,
          name: health.title,
          bar: BAR,
          unit: 'calls/s',
          pairs,
          a: () => load(product.address),
          b: () => load(bare.address),
          notes: ['h2load, 8 connections x 16 calls'],
        });
      });
    } finally {
      await Promise.all([product.stop(), bare.stop()]);
    }
  },
};
