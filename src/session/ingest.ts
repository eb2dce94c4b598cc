/**
 * Follows the fleet's defense level. Levels of single cells do not count for admission.
 *
 * Events come at least once. One is newer than what was seen when its place in the stream is higher, or when it was
 * recorded later: the place alone would deafen this server after the stream was made anew and counts from 1 again, the
 * time alone after the publisher's clock was set back. Whatever comes again is neither, and changes nothing.
 */
import { timestampMs } from '@bufbuild/protobuf/wkt';
import type { Bus, BusEvent, Subscription } from '../bus/bus.ts';
import { topics } from '../bus/topics.ts';
import type { DefenseLevelChanged } from '../gen/homeostat/resilience/v1/resilience_events_pb.ts';
import type { Logger } from '../observability.ts';
import type { Store } from '../store/store.ts';
import { HIGHEST_LEVEL, LOWEST_LEVEL } from './admission.ts';
import { findLevel, type SeenLevel, saveLevel } from './store.ts';

/** Follows the level; it counts for every admission that begins after its commit. */
export function followDefenseLevel(deps: {
  readonly store: Store;
  readonly bus: Pick<Bus, 'consume'>;
  readonly logger: Logger;
}): Promise<Subscription> {
  const { store, bus, logger } = deps;
  return bus.consume({
    topic: topics.defenseLevelChanged,
    durable: 'session-defense-level',
    async handle(events) {
      const changes = events.map(levelOf).filter((change) => change !== undefined);
      if (changes.length === 0) return;
      const level = await store.transact(async (tx) => {
        const seen = await findLevel(tx);
        const last = changes.reduce(later, seen);
        if (last === seen) return undefined;
        await saveLevel(tx, last);
        return last.level;
      });
      if (level !== undefined) logger.info({ level }, 'admission follows the defense level');
    },
  });
}

/** What an event says about the fleet's level; undefined for a cell's. Throws for a level that is none. */
export function levelOf(event: BusEvent<DefenseLevelChanged>): SeenLevel | undefined {
  const { change } = event.message;
  if (change?.scope && (change.scope.domain !== '' || change.scope.cluster !== '')) return undefined;
  const level = change?.toLevel ?? 0;
  if (!Number.isInteger(level) || level < LOWEST_LEVEL || level > HIGHEST_LEVEL)
    throw new RangeError(`defense level ${level} is none of ${LOWEST_LEVEL}..${HIGHEST_LEVEL}`);
  return {
    level,
    sequence: event.sequence,
    recordedAtMs: change?.recordedAt ? timestampMs(change.recordedAt) : event.publishedAtMs,
  };
}

/** What is seen after a change: `seen` itself when the change is not newer. Sequence and time never go back. */
export function later(seen: SeenLevel, change: SeenLevel): SeenLevel {
  if (change.sequence <= seen.sequence && change.recordedAtMs <= seen.recordedAtMs) return seen;
  return {
    level: change.level,
    sequence: Math.max(seen.sequence, change.sequence),
    recordedAtMs: Math.max(seen.recordedAtMs, change.recordedAtMs),
  };
}
