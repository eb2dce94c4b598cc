/** Hands a simulated fleet's batches to the broker and counts what it acknowledged. */
import type { Producer } from '../bus/producer.ts';
import { telemetrySubject } from '../bus/topics.ts';
import type { Fleet } from '../simulation/fleet.ts';
import type { StreamName } from './stream-account.ts';

export interface FleetFeed {
  /** Samples the broker acknowledged. */
  readonly samples: number;
  /** Place of the last message in the broker's stream. */
  readonly lastSequence: number;
  /** Hands over everything the fleet has sampled until an event time; never more than the producer's window ahead. */
  feedUntil(eventMs: number): Promise<void>;
  /** Resolves when everything handed over is acknowledged. Rejects when the broker refused a message for good. */
  settled(): Promise<void>;
}

export function createFleetFeed(fleet: Fleet, stream: StreamName, producer: Producer): FleetFeed {
  const subjects = new Map(
    fleet.nodes.map((node) => [node, telemetrySubject(stream.domain, stream.cluster, node)] as const),
  );
  let samples = 0;
  let lastSequence = 0;
  let refusal: unknown;
  return {
    get samples() {
      return samples;
    },
    get lastSequence() {
      return lastSequence;
    },
    async feedUntil(eventMs) {
      for (const { node, payload, sampleCount } of fleet.batchesUntil(eventMs)) {
        await producer.ready();
        producer.publish(subjects.get(node)!, payload).then(
          (sequence) => {
            samples += sampleCount;
            lastSequence = Math.max(lastSequence, sequence);
          },
          (error: unknown) => {
            refusal ??= error;
          },
        );
      }
    },
    async settled() {
      await producer.idle();
      if (refusal !== undefined) throw refusal;
    },
  };
}
