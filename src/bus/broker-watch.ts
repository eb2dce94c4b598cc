/**
 * Notices a managed broker that is alive and does not work: after its disk was full, JetStream stays disabled, or
 * hangs, until the process is started again. Such a broker is killed; its supervisor starts it again, with back-off,
 * until there is room.
 */
import { systemClock } from '../clock.ts';
import type { Logger } from '../observability.ts';
import type { Connection } from './connection.ts';
import { explain } from './errors.ts';
import type { ManagedNats } from './managed-nats.ts';

const PROBE_MS = 5_000;
/** Probes in a row, each with the time-out of a JetStream request, that must fail. */
const FAILURES_MAX = 3;

/** Watches until the returned function is called. */
export function watchBroker(
  connection: Pick<Connection, 'manager' | 'connected' | 'whileConnected'>,
  managed: Pick<ManagedNats, 'kill'>,
  logger: Logger,
  probeMs = PROBE_MS,
): () => void {
  let failures = 0;
  let probing = false;
  const probe = async () => {
    probing = true;
    try {
      await connection.whileConnected(() => connection.manager.getAccountInfo());
      failures = 0;
    } catch (error) {
      if (!connection.connected()) return;
      failures++;
      logger.warn({ failures, error: explain(error) }, 'JetStream of the broker does not answer');
      if (failures >= FAILURES_MAX) {
        failures = 0;
        managed.kill();
      }
    } finally {
      probing = false;
    }
  };
  // A broker that is being started is not connected yet: recovering its files may take long.
  const timer = systemClock.every(probeMs, () => {
    if (!connection.connected()) failures = 0;
    else if (!probing) void probe();
  });
  return () => timer.cancel();
}
