/** Metrics as a scraper sees them. */
import { expect, test } from '@jest/globals';
import { createMetrics } from '../src/observability.ts';

test('a gauge without a sample is absent, not 0, and comes back with the next one', async () => {
  const metrics = createMetrics();
  let level: number | undefined;
  metrics.gauge('risk', 'Absent while unknown.', [], () => (level === undefined ? [] : [{ value: level }]));
  const exposed = async () => (await metrics.exposition()).split('\n').filter((line) => /^risk\b/.test(line));
  expect(await exposed()).toEqual([]);
  level = 2;
  expect(await exposed()).toEqual(['risk 2']);
  level = undefined;
  expect(await exposed()).toEqual([]);
});

test('labels tell the samples of a counter apart, and those no longer given are gone', async () => {
  const metrics = createMetrics();
  let rows = [
    { value: 1, labels: { outcome: 'ok' } },
    { value: 2, labels: { outcome: 'late' } },
  ];
  metrics.counter('samples_total', 'By outcome.', ['outcome'], () => rows);
  expect(await metrics.exposition()).toContain('samples_total{outcome="late"} 2');
  rows = rows.slice(0, 1);
  const after = await metrics.exposition();
  expect(after).toContain('samples_total{outcome="ok"} 1');
  expect(after).not.toContain('late');
});
