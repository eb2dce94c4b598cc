/**
 * The three streams: TELEMETRY (raw, 24 h), EVENTS (recorded events, 7 d), DEAD_LETTERS (what could not be taken, with
 * its reason, 7 d). On a managed broker their settings are kept as written here; on an outside one the limits belong
 * to its operator, and only missing streams and subjects are added.
 */
import { mkdirSync, statfsSync } from 'node:fs';
import {
  DiscardPolicy,
  type JetStreamManager,
  RetentionPolicy,
  StorageType,
  type StreamConfig,
} from '@nats-io/jetstream';
import { nanos } from '@nats-io/transport-node';
import { describeError } from '../errors.ts';
import { startError } from './errors.ts';
import { isStreamMissing } from './jetstream-errors.ts';
import { DEAD_EVENT_FILTER, DEAD_LETTER_FILTER, TELEMETRY_FILTER, topicFilter, topics } from './topics.ts';

export const TELEMETRY_STREAM = 'TELEMETRY';
export const EVENTS_STREAM = 'EVENTS';
export const DEAD_LETTERS_STREAM = 'DEAD_LETTERS';

const GIB = 1024 ** 3;
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

/** How long raw telemetry is held. */
export const TELEMETRY_AGE_MS = DAY_MS;
/** How long an event id is remembered by the broker to suppress its repeat. */
const DUPLICATE_WINDOW_MS = 10 * 60_000;
/** Telemetry is never deduplicated by the broker, which would hide duplicates; this is the least it allows. */
const NO_DUPLICATE_WINDOW_MS = 100;

/** Bytes each stream may hold. */
export interface StreamLimits {
  readonly telemetryBytes: number;
  readonly eventsBytes: number;
  readonly deadLettersBytes: number;
}

/** Limits for a disk of a size: telemetry gets min(8 GiB, 20 %), events as much, dead letters min(1 GiB, 2.5 %). */
export function limitsFor(diskBytes: number): StreamLimits {
  const large = Math.floor(Math.min(8 * GIB, diskBytes / 5));
  return {
    telemetryBytes: large,
    eventsBytes: large,
    deadLettersBytes: Math.floor(Math.min(GIB, diskBytes / 40)),
  };
}

/** Size of the disk a directory lies on, bytes; the directory is made where needed. Throws DATA_DIRECTORY_UNUSABLE. */
export function diskBytes(directory: string): number {
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    const { blocks, bsize } = statfsSync(directory);
    return blocks * bsize;
  } catch (cause) {
    throw startError('DATA_DIRECTORY_UNUSABLE', { directory, detail: describeError(cause) }, { cause });
  }
}

/** What JetStream must be allowed to keep for streams of these limits. */
export function totalBytes(limits: StreamLimits): number {
  return limits.telemetryBytes + limits.eventsBytes + limits.deadLettersBytes;
}

export interface StreamSettings {
  readonly limits: StreamLimits;
  /** Copies of each stream in a cluster, 1..5. */
  readonly replicas: number;
  /** Whether the broker is ours, so that settings of existing streams are ours as well. */
  readonly managed: boolean;
}

/** Makes the streams that are missing and mends those that differ. Harmless to repeat. */
export async function ensureStreams(manager: JetStreamManager, settings: StreamSettings): Promise<void> {
  for (const wanted of streamConfigs(settings)) {
    const present = await streamConfig(manager, wanted.name);
    if (!present) await manager.streams.add(wanted);
    else if (!covers(present.subjects, wanted.subjects) || (settings.managed && differs(present, wanted)))
      await manager.streams.update(wanted.name, settings.managed ? wanted : withSubjects(present, wanted));
  }
}

/** State of a stream; undefined when there is none. */
export async function streamState(manager: JetStreamManager, name: string) {
  try {
    return await manager.streams.info(name);
  } catch (error) {
    if (isStreamMissing(error)) return undefined;
    throw error;
  }
}

type WantedStream = Partial<StreamConfig> & Pick<StreamConfig, 'name' | 'subjects'>;

function streamConfigs({ limits, replicas }: StreamSettings): WantedStream[] {
  const shared = {
    storage: StorageType.File,
    retention: RetentionPolicy.Limits,
    discard: DiscardPolicy.Old,
    num_replicas: replicas,
  };
  return [
    {
      ...shared,
      name: TELEMETRY_STREAM,
      subjects: [TELEMETRY_FILTER],
      max_age: nanos(TELEMETRY_AGE_MS),
      max_bytes: limits.telemetryBytes,
      duplicate_window: nanos(NO_DUPLICATE_WINDOW_MS),
    },
    {
      ...shared,
      name: EVENTS_STREAM,
      subjects: Object.values(topics)
        .filter((topic) => topic.delivery === 'recorded')
        .map(topicFilter),
      max_age: nanos(7 * DAY_MS),
      max_bytes: limits.eventsBytes,
      duplicate_window: nanos(DUPLICATE_WINDOW_MS),
    },
    {
      ...shared,
      name: DEAD_LETTERS_STREAM,
      subjects: [DEAD_LETTER_FILTER, DEAD_EVENT_FILTER],
      max_age: nanos(7 * DAY_MS),
      max_bytes: limits.deadLettersBytes,
      // A letter written again replaces its former self, however long ago that was.
      max_msgs_per_subject: 1,
      duplicate_window: nanos(DUPLICATE_WINDOW_MS),
    },
  ];
}

async function streamConfig(manager: JetStreamManager, name: string): Promise<StreamConfig | undefined> {
  return (await streamState(manager, name))?.config;
}

function covers(present: readonly string[], wanted: readonly string[]): boolean {
  return wanted.every((subject) => present.includes(subject));
}

function differs(present: StreamConfig, wanted: WantedStream): boolean {
  return (
    present.max_age !== wanted.max_age ||
    present.max_bytes !== wanted.max_bytes ||
    present.duplicate_window !== wanted.duplicate_window ||
    present.subjects.length !== wanted.subjects.length
  );
}

function withSubjects(present: StreamConfig, wanted: WantedStream): StreamConfig {
  return { ...present, subjects: [...new Set([...present.subjects, ...wanted.subjects])] };
}
