/**
 * Whether and when a failed call is made again. A call is repeated only when that is harmless: it changes nothing,
 * it carries an idempotency key, or the server said itself that it refused before doing anything (RetryInfo). Waits
 * follow the server's delay where it gave one, else exponential back-off with full jitter (Brooker, "Exponential
 * backoff and jitter", AWS Architecture Blog, 2015).
 */
import type { DescMethod } from '@bufbuild/protobuf';
import { getOption } from '@bufbuild/protobuf';
import { type Clock, delay } from '../clock.ts';
import { Audit, policy } from '../gen/homeostat/options/v1/method_pb.ts';
import type { Random } from '../random.ts';
import { RpcError } from './rpc-error.ts';

export interface RetryPolicy {
  /** Most times one call is made, 1 or more; default 5: enough for most restarts of a server. */
  readonly attempts: number;
  /** Back-off before the first repeat, milliseconds; doubles each time. Default 100. */
  readonly backoffMs: number;
  /** Longest back-off, milliseconds; default 2,000. */
  readonly backoffMsMax: number;
  /** Longest delay asked for by the server that is still waited out, milliseconds; default 5,000. */
  readonly waitMsMax: number;
}

export const DEFAULT_RETRY: RetryPolicy = {
  attempts: 5,
  backoffMs: 100,
  backoffMsMax: 2_000,
  waitMsMax: 5_000,
};

/**
 * Whether repeating a request cannot do harm: its method is not audited as a command, or the request carries an
 * idempotency key.
 */
export function isRepeatable(method: DescMethod, request: object): boolean {
  if (getOption(method, policy).audit !== Audit.REQUIRED) return true;
  const key = (request as { idempotencyKey?: unknown }).idempotencyKey;
  return typeof key === 'string' && key !== '';
}

/**
 * Milliseconds to wait before attempt `attempt + 1`, or undefined when the error is final. `attempt` counts from 1.
 */
export function retryDelayMs(
  error: unknown,
  attempt: number,
  repeatable: boolean,
  retry: RetryPolicy,
  random: Random,
): number | undefined {
  if (!(error instanceof RpcError) || attempt >= retry.attempts) return undefined;
  if (error.code !== 'UNAVAILABLE' && error.code !== 'RESOURCE_EXHAUSTED') return undefined;
  const backoffMs = random.uniform() * Math.min(retry.backoffMsMax, retry.backoffMs * 2 ** (attempt - 1));
  const asked = error.retryAfterMs;
  if (asked !== undefined) return asked < 0 || asked > retry.waitMsMax ? undefined : asked + backoffMs;
  // Without the server's word nobody knows whether the call was carried out before the connection broke.
  return repeatable && error.code === 'UNAVAILABLE' ? backoffMs : undefined;
}

/** Makes a call until it succeeds, its error is final, or the deadline or the signal ends the waiting. */
export async function withRetries<Reply>(
  call: () => Promise<Reply>,
  options: {
    readonly repeatable: boolean;
    readonly retry: RetryPolicy;
    readonly random: Random;
    readonly clock: Clock;
    /** Wall time at which the call must be over, milliseconds. */
    readonly deadlineMs: number;
    readonly signal: AbortSignal | undefined;
  },
): Promise<Reply> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await call();
    } catch (error) {
      const waitMs = retryDelayMs(error, attempt, options.repeatable, options.retry, options.random);
      if (waitMs === undefined || options.clock.nowMs() + waitMs >= options.deadlineMs) throw error;
      await delay(options.clock, waitMs, options.signal);
      if (options.signal?.aborted) throw error;
    }
  }
}
