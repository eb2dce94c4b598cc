/** Which messages can be read and belong where they were found; the rest is rejected whole. */
import { RejectReason } from '../../gen/homeostat/telemetry/v1/telemetry_service_pb.ts';
import { type BatchDecoder, LABELS_MAX, METRICS_MAX } from '../message/decode.ts';
import type { Channel, Route } from '../message/route.ts';
import { spanEquals, spanText } from '../message/span.ts';
import { type Rejection, rejectWhole } from './rejection.ts';
import type { StreamFold } from './stream.ts';

const SECONDS_MIN = -62_135_596_800; // 0001-01-01
const SECONDS_MAX = 253_402_300_799; // 9999-12-31

/** The channel of a message that can be read and belongs where it was found; undefined after rejecting it. */
export function admit(
  route: Route<StreamFold>,
  batch: BatchDecoder,
  rejection: Rejection,
): Channel | undefined {
  const { stream } = route;
  let fault = batch.fault !== '' ? batch.fault : shapeFault(route, batch);
  let channel: Channel | undefined;
  if (fault === '') {
    channel = route.channel(batch);
    fault =
      channel === undefined ? 'source_id is not of 1 to 128 characters' : descriptorFault(channel, batch);
  }
  if (fault !== '' || channel === undefined) {
    rejectWhole(stream, batch, rejection, RejectReason.MALFORMED, fault);
    return undefined;
  }
  const { data } = batch;
  if (
    spanEquals(data, batch.nodeFrom, batch.nodeTo, route.nodeBytes) &&
    spanEquals(data, batch.clusterFrom, batch.clusterTo, route.clusterBytes) &&
    spanEquals(data, batch.domainFrom, batch.domainTo, route.domainBytes)
  )
    return channel;
  rejectWhole(stream, batch, rejection, RejectReason.SUBJECT_MISMATCH, mismatch(batch));
  return undefined;
}

function shapeFault(route: Route<StreamFold>, batch: BatchDecoder): string {
  if (route.place.fault !== '') return route.place.fault;
  if (batch.domainTo === batch.domainFrom) return 'domain is missing';
  if (batch.clusterTo === batch.clusterFrom) return 'cluster is missing';
  if (batch.nodeTo === batch.nodeFrom) return 'node is missing';
  if (batch.sequence > 0 && batch.epoch === 0) return 'epoch is missing';
  if (!batch.hasBaseTime) return 'base_time is missing';
  if (!(batch.baseSeconds >= SECONDS_MIN && batch.baseSeconds <= SECONDS_MAX))
    return 'base_time is out of range';
  if (batch.baseNanos < 0 || batch.baseNanos > 999_999_999) return 'base_time is out of range';
  if (batch.metricCount > METRICS_MAX) return `it has more than ${METRICS_MAX} metrics`;
  if (batch.labelCount > LABELS_MAX) return `it has more than ${LABELS_MAX} labels`;
  if (batch.indexCount !== batch.valueCount || batch.offsetCount !== batch.valueCount)
    return `metric_index, offset_ms and values differ in length: ${batch.indexCount}, ${batch.offsetCount}, ${batch.valueCount}`;
  return '';
}

function descriptorFault(channel: Channel, batch: BatchDecoder): string {
  try {
    if (batch.labelCount > 0) channel.takeLabels(batch);
    return channel.takeMetrics(batch);
  } catch {
    return 'a metric or label cannot be read'; // The generated decoder throws on damaged ones.
  }
}

function mismatch(batch: BatchDecoder): string {
  const { data } = batch;
  const domain = spanText(data, batch.domainFrom, batch.domainTo) ?? '?';
  const cluster = spanText(data, batch.clusterFrom, batch.clusterTo) ?? '?';
  const node = spanText(data, batch.nodeFrom, batch.nodeTo) ?? '?';
  return `it says ${domain}, ${cluster}, ${node}`.slice(0, 250);
}
