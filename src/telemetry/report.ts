/** The account of a stream as reports and events give it: from counts as they are kept to the contract. Pure. */
import { create } from '@bufbuild/protobuf';
import {
  type AttributeOrigin,
  AttributeOriginSchema,
  type IngestCounts,
  IngestCountsSchema,
} from '../gen/homeostat/telemetry/v1/telemetry_service_pb.ts';
import { ACCEPTED, DUPLICATE, LATE, offered, REJECT_REASONS, rejectedFor } from './fold/counts.ts';

/** Counts as the contract writes them; reasons without any are left out. */
export function countsToProto(counts: ArrayLike<number>): IngestCounts {
  return create(IngestCountsSchema, {
    offered: BigInt(offered(counts)),
    accepted: BigInt(counts[ACCEPTED]!),
    duplicate: BigInt(counts[DUPLICATE]!),
    late: BigInt(counts[LATE]!),
    rejected: REJECT_REASONS.filter((reason) => counts[rejectedFor(reason)]! > 0).map((reason) => ({
      reason,
      count: BigInt(counts[rejectedFor(reason)]!),
    })),
  });
}

/** Messages by the attributes that named their place, `domain,cluster,node`, as the contract writes them. */
export function originsToProto(
  origins: readonly (readonly [origin: string, messages: number])[],
): AttributeOrigin[] {
  return origins.map(([origin, messages]) => {
    const [domainAttribute = '', clusterAttribute = '', nodeAttribute = ''] = origin.split(',');
    const named = { domainAttribute, clusterAttribute, nodeAttribute };
    return create(AttributeOriginSchema, { ...named, messages: BigInt(messages) });
  });
}
