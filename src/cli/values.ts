/** Reads the values of options: numbers, durations, rates, times. Each throws a CliFailure that names the option. */
import { unusable } from './failure.ts';

/** A whole number in a range. */
export function readInteger(option: string, text: string, least: number, greatest: number): number {
  const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
  if (!(value >= least && value <= greatest))
    throw unusable(`--${option} must be a whole number from ${least} to ${greatest}, not "${text}"`);
  return value;
}

const UNITS_MS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };

/** `90s`, `2m`, `500ms`, `1h` or plain seconds, in milliseconds. */
export function readDurationMs(option: string, text: string, leastMs: number, greatestMs: number): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h)?$/.exec(text);
  const valueMs = match ? Number(match[1]) * UNITS_MS[match[2] ?? 's']! : Number.NaN;
  if (!(valueMs >= leastMs && valueMs <= greatestMs)) {
    const range = `from ${leastMs / 1_000}s to ${greatestMs / 1_000}s`;
    throw unusable(`--${option} must be a duration such as 30s or 2m, ${range}, not "${text}"`);
  }
  return valueMs;
}

/** `max` (Infinity) or `120x`: seconds of event time per second. */
export function readRate(option: string, text: string): number {
  if (text === 'max') return Number.POSITIVE_INFINITY;
  const value = Number(/^(\d+(?:\.\d+)?)x$/.exec(text)?.[1]);
  if (!(value > 0)) throw unusable(`--${option} must be max or a factor such as 10x, not "${text}"`);
  return value;
}

/** A domain, cluster or node that the contract allows. */
export function readName(option: string, text: string, pattern: RegExp): string {
  if (!pattern.test(text))
    throw unusable(`--${option} must match ${pattern.source.slice(1, -1)}, not "${text}"`);
  return text;
}

export const TOKEN = /^[A-Za-z0-9_-]{1,64}$/;
export const NODE = /^[A-Za-z0-9._-]{1,64}$/;

/** `name=value` pairs. */
export function readPairs(option: string, texts: readonly string[]): ReadonlyMap<string, string> {
  return new Map(
    texts.map((text) => {
      const at = text.lastIndexOf('=');
      if (at < 1 || at === text.length - 1)
        throw unusable(`--${option} must have the form <metric>=<value>, not "${text}"`);
      return [text.slice(0, at), text.slice(at + 1)];
    }),
  );
}

const NUMBER = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/;
const ZONE = /(?:[zZ]|[+-]\d{2}:?\d{2})$/;
const DATE = /^\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?)?/;

/**
 * An instant in milliseconds since 1970: a number is seconds after `startMs`; a date without zone is UTC. NaN when it
 * is neither.
 */
export function parseInstantMs(text: string, startMs: number): number {
  if (NUMBER.test(text)) return startMs + Math.round(Number(text) * 1_000);
  if (!DATE.test(text)) return Number.NaN;
  if (ZONE.test(text) && text.length > 10) return Date.parse(text);
  return Date.parse(text.length > 10 ? `${text.replace(' ', 'T')}Z` : text);
}

/** `--start`: a date; 1970 when it is not given. */
export function readStartMs(text: string | undefined): number {
  if (text === undefined) return 0;
  const startMs = parseInstantMs(text, 0);
  if (Number.isNaN(startMs))
    throw unusable(`--start must be a date such as 2026-01-31T00:00:00Z, not "${text}"`);
  return startMs;
}
