/**
 * What was opened, to be closed in reverse. A failed start unwinds it; a stop unwinds it under a deadline. Every closer
 * runs even when one before it failed.
 */
import type { Clock } from './clock.ts';
import { describeError } from './errors.ts';
import type { Logger } from './observability.ts';

export interface Closers {
  /** Remembers how to close something just opened. */
  push(name: string, close: () => Promise<void> | void): void;
  /** Closes everything in reverse; what does not finish in time is left behind and named in the log. */
  unwind(timeoutMs: number): Promise<void>;
}

export function createClosers(clock: Clock, logger: Logger): Closers {
  const stack: { name: string; close: () => Promise<void> | void }[] = [];
  return {
    push: (name, close) => void stack.push({ name, close }),
    async unwind(timeoutMs) {
      const deadlineMs = clock.monotonicMs() + timeoutMs;
      for (let top = stack.pop(); top; top = stack.pop()) {
        const { name, close } = top;
        const leftMs = Math.max(100, deadlineMs - clock.monotonicMs());
        let expire: (() => void) | undefined;
        const expired = new Promise<'expired'>((resolve) => {
          const timer = clock.after(leftMs, () => resolve('expired'));
          expire = () => timer.cancel();
        });
        try {
          const outcome = await Promise.race([
            Promise.resolve(close()).then(() => 'closed' as const),
            expired,
          ]);
          if (outcome === 'expired') logger.error({ part: name }, 'did not stop in time');
        } catch (error) {
          logger.error({ part: name, error: describeError(error) }, 'failed while stopping');
        } finally {
          expire?.();
        }
      }
    },
  };
}
