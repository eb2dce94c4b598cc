/**
 * Logs and metrics. The only file that knows pino and prom-client. Hot paths keep plain numbers and export them by
 * callback when somebody scrapes; nothing is formatted or looked up per sample.
 */
import { type Logger as PinoLogger, pino } from 'pino';
import { Counter, Gauge, Histogram, Registry } from 'prom-client';

/** Structured logger: `logger.info({ fields }, 'text')`. */
export type Logger = PinoLogger;

export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'silent';

/** Fields whose values never reach a log line, at the top and one level down. */
const REDACTED = ['authorization', 'password', 'token', 'key', 'secret', 'cookie', 'payload'];

/** JSON lines to `destination` (a file descriptor; 2 is standard error). */
export function createLogger(level: LogLevel, destination: 1 | 2 = 2): Logger {
  const paths = REDACTED.flatMap((name) => [name, `*.${name}`]);
  return pino(
    { level, base: null, redact: { paths, censor: '[redacted]' } },
    pino.destination({ dest: destination, sync: true }),
  );
}

export interface Sample {
  readonly value: number;
  readonly labels?: Readonly<Record<string, string>>;
}

/** Metrics of one server. Names carry their prefix; labels never hold ids. */
export interface Metrics {
  /** A running total that `collect` reads when scraped. */
  counter(name: string, help: string, labels: readonly string[], collect: () => Iterable<Sample>): void;
  /** A level that `collect` reads when scraped; absent where it gives no sample. */
  gauge(name: string, help: string, labels: readonly string[], collect: () => Iterable<Sample>): void;
  /** A distribution; `observe` is for paths that are not hot. */
  histogram(name: string, help: string, buckets: readonly number[]): { observe(value: number): void };
  /** Everything in the Prometheus text format. */
  exposition(): Promise<string>;
  readonly contentType: string;
}

export function createMetrics(): Metrics {
  const registry = new Registry();
  return {
    counter(name, help, labels, collect) {
      new Counter({
        name,
        help,
        labelNames: [...labels],
        registers: [registry],
        collect() {
          this.reset();
          for (const sample of collect()) this.inc({ ...sample.labels }, sample.value);
        },
      });
    },
    gauge(name, help, labels, collect) {
      new Gauge({
        name,
        help,
        labelNames: [...labels],
        registers: [registry],
        collect() {
          this.reset();
          if (labels.length === 0) this.remove(); // Else it would be 0, which is a level.
          for (const sample of collect()) this.set({ ...sample.labels }, sample.value);
        },
      });
    },
    histogram(name, help, buckets) {
      const histogram = new Histogram({ name, help, buckets: [...buckets], registers: [registry] });
      return { observe: (value) => histogram.observe(value) };
    },
    exposition: () => registry.metrics(),
    contentType: registry.contentType,
  };
}
