/**
 * Contexts fail alone. A context that cannot start marks its own services with a reason and is started again with
 * back-off, 1 s doubling to 30 s, while the others keep serving.
 */
import type { Clock, Timer } from './clock.ts';
import { describeError } from './errors.ts';
import type { HttpRoute } from './http/route.ts';
import type { Logger } from './observability.ts';
import type { ServiceBinding } from './rpc/handler.ts';

/** What every context offers the composition root. */
export interface Context {
  readonly services: readonly ServiceBinding[];
  /** RPCs of these services that can also be called by POST. */
  readonly routes?: readonly HttpRoute[];
  /** Recovers and subscribes. */
  start(): Promise<void>;
  /** Unsubscribes; leaves no timers. Harmless when not started. */
  stop(): Promise<void>;
}

export interface SupervisedContext {
  readonly name: string;
  /** The context's services, unavailable with STARTING or FAULTED while it does not run. */
  readonly services: readonly ServiceBinding[];
  readonly routes: readonly HttpRoute[];
  /** Resolves after the first attempt, whatever became of it. */
  start(): Promise<void>;
  stop(): Promise<void>;
}

const BACKOFF_MS = 1_000;
const BACKOFF_MAX_MS = 30_000;

export function supervise(
  name: string,
  context: Context,
  deps: { readonly clock: Clock; readonly logger: Logger },
): SupervisedContext {
  let state: 'STARTING' | 'RUNNING' | 'FAULTED' | 'STOPPED' = 'STARTING';
  let backoffMs = BACKOFF_MS;
  let retry: Timer | undefined;

  const attempt = async (): Promise<void> => {
    try {
      await context.start();
      if (state === 'STOPPED') return context.stop();
      state = 'RUNNING';
      backoffMs = BACKOFF_MS;
    } catch (error) {
      if (state === 'STOPPED') return;
      state = 'FAULTED';
      deps.logger.error(
        { context: name, error: describeError(error), retryMs: backoffMs },
        'context cannot start',
      );
      await context.stop();
      retry = deps.clock.after(backoffMs, () => void attempt(), true);
      backoffMs = Math.min(BACKOFF_MAX_MS, backoffMs * 2);
    }
  };
  return {
    name,
    services: context.services.map((binding) => ({
      ...binding,
      unavailable: () => (state === 'RUNNING' ? (binding.unavailable?.() ?? []) : [state]),
    })),
    routes: context.routes ?? [],
    start: attempt,
    async stop() {
      const wasRunning = state === 'RUNNING';
      state = 'STOPPED';
      retry?.cancel();
      if (wasRunning) await context.stop();
    },
  };
}
