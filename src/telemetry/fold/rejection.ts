/** What of a message was rejected and why, and how whole messages are counted. */
import { RejectReason } from '../../gen/homeostat/telemetry/v1/telemetry_service_pb.ts';
import type { BatchDecoder } from '../message/decode.ts';
import { REJECT_REASONS, rejectedFor } from './counts.ts';
import type { StreamFold } from './stream.ts';

/** What was rejected of the last message; reused. */
export class Rejection {
  /** Rejected samples by reason. */
  readonly counts = new Float64Array(8);
  /** Reason of the first rejection; UNSPECIFIED when nothing was rejected. */
  first: RejectReason = RejectReason.UNSPECIFIED;
  /** Whether the message as a whole was rejected. */
  whole = false;
  /** First thing found wrong, in words. */
  detail = '';

  clear(): void {
    if (this.first === RejectReason.UNSPECIFIED) return;
    this.counts.fill(0);
    this.first = RejectReason.UNSPECIFIED;
    this.whole = false;
    this.detail = '';
  }

  add(reason: RejectReason, detail: string): void {
    this.counts[reason] = this.counts[reason]! + 1;
    if (this.first !== RejectReason.UNSPECIFIED) return;
    this.first = reason;
    this.detail = detail;
  }
}

/** Counts the samples rejected one by one. */
export function countRejected(stream: StreamFold, rejection: Rejection): void {
  for (const reason of REJECT_REASONS) {
    const at = rejectedFor(reason);
    stream.samplesPending[at] = stream.samplesPending[at]! + rejection.counts[reason]!;
  }
}

/** Rejects a message with all its samples; those of one that cannot be read are not counted. */
export function rejectWhole(
  stream: StreamFold,
  batch: BatchDecoder,
  rejection: Rejection,
  reason: RejectReason,
  detail: string,
): void {
  rejection.add(reason, detail);
  rejection.whole = true;
  const samples = reason === RejectReason.MALFORMED ? 0 : batch.valueCount;
  rejection.counts[reason] = Math.max(1, samples);
  const at = rejectedFor(reason);
  stream.samplesPending[at] = stream.samplesPending[at]! + samples;
  stream.messagesPending[at] = stream.messagesPending[at]! + 1;
}

/** Counts a message and all its samples as one outcome. */
export function countWhole(stream: StreamFold, batch: BatchDecoder, outcome: number): void {
  stream.samplesPending[outcome] = stream.samplesPending[outcome]! + batch.valueCount;
  stream.messagesPending[outcome] = stream.messagesPending[outcome]! + 1;
}
