/**
 * Where metrics are judged: this module asks for a thread and is what the thread loads. Random numbers are made on the
 * thread, from the seed and the metric's own stream, so the number of threads changes no bit of the result.
 */
import type { WorkerPool } from '../../numeric/worker-pool.ts';
import { createRandom } from '../../random.ts';
import type { RunMetric } from './assessment.ts';
import { assessMetric, type MetricFinding, type MetricJob } from './metric-assessment.ts';

/** The task: judges one metric. */
export function runMetric(job: MetricJob): MetricFinding {
  return assessMetric(job, createRandom(job.options.seed, job.stream));
}

/** Runs metrics on a pool. What it gives rejects as `WorkerPool.run` does. */
export function createMetricRunner(pool: WorkerPool): RunMetric {
  const module = new URL(import.meta.url);
  return (job, signal) => pool.run<MetricFinding>(module, runMetric.name, job, signal ? { signal } : {});
}
