/** P5: what `GET /livez` costs beside a constant reply of bare node:http. */
import { h2loadMissing, runH2load } from './h2load.ts';
import { type Bench, runPairs } from './harness.ts';
import { startServerProcess } from './server-process.ts';

const BAR = 0.9;
/** The figure to be ahead of, replies/s. */
const REFERENCE_RATE = 37_498;

export const livez: Bench = {
  id: 'P5',
  title: 'GET /livez against a constant reply of bare node:http',
  bar: BAR,
  async run({ pairs, seconds }) {
    const skipped = h2loadMissing();
    if (skipped) return { id: livez.id, title: livez.title, skipped };
    const product = await startServerProcess('edge-server', 'http');
    const bare = await startServerProcess('edge-server', 'bare-http');
    try {
      const load = (address: string) =>
        runH2load({
          url: `http://${address}/livez`,
          seconds,
          connections: 64,
          inFlight: 1,
          http1: true,
        });
      const row = await runPairs({
        id: livez.id,
        name: livez.title,
        bar: BAR,
        unit: 'replies/s',
        pairs,
        a: () => load(product.address),
        b: () => load(bare.address),
      });
      const reference = `${(row.rateA / REFERENCE_RATE).toFixed(2)} of the reference rate of ${REFERENCE_RATE}/s`;
      return { ...row, notes: ['h2load --h1, 64 connections', reference] };
    } finally {
      await Promise.all([product.stop(), bare.stop()]);
    }
  },
};
