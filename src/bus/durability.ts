/**
 * What the broker's acknowledgement of a stored message is worth. The server never claims more than it can tell:
 * SYNCED when every write is synced before it is acknowledged, BUFFERED when it may still lie in the broker's memory,
 * UNKNOWN when the broker does not say.
 */
import type { NatsConnection } from '@nats-io/transport-node';
import { SYNC_ALWAYS_SINCE } from './broker-config.ts';
import type { Durability } from './bus.ts';
import { isAtLeast, type Version } from './find-nats.ts';

const ASK_TIMEOUT_MS = 1_000;

/** Of a broker whose configuration is ours. */
export function managedDurability(version: Version): Durability {
  return isAtLeast(version, SYNC_ALWAYS_SINCE) ? 'SYNCED' : 'BUFFERED';
}

/**
 * Of somebody else's broker. Versions before 2.10 cannot sync before acknowledging. Later ones tell their sync setting
 * to users of the system account only; to all others the request goes unanswered.
 */
export async function outsideDurability(nats: NatsConnection, version: Version): Promise<Durability> {
  if (!isAtLeast(version, SYNC_ALWAYS_SINCE)) return 'BUFFERED';
  try {
    const subject = `$SYS.REQ.SERVER.${nats.info?.server_id}.VARZ`;
    const reply = await nats.request(subject, undefined, { timeout: ASK_TIMEOUT_MS });
    return durabilityIn(reply.json());
  } catch {
    return 'UNKNOWN'; // Not allowed, or nobody answers: it does not tell.
  }
}

/** Reads the sync setting out of the broker's `VARZ` answer. */
export function durabilityIn(varz: unknown): Durability {
  const { data } = varz as {
    data?: { jetstream?: { config?: { sync_always?: boolean; sync_interval?: number } } };
  };
  const config = data?.jetstream?.config;
  if (config?.sync_always === true) return 'SYNCED';
  return config?.sync_interval === undefined ? 'UNKNOWN' : 'BUFFERED';
}
