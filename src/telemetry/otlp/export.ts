/**
 * A whole OpenTelemetry export: what of it goes to the broker as which messages, and what is refused. A deterministic
 * function of the request as decoded, so the same export gives the same bytes whether it came over gRPC, as HTTP with
 * protobuf or as HTTP with JSON, and a repeated one gives those it gave before.
 *
 * A node has each series from one metric of one instrumentation scope of one producer: what another one reports under
 * the same name would be folded into the same numbers, and is refused where one export shows both.
 */
import type { Resource } from '../../gen/opentelemetry/proto/resource/v1/resource_pb.ts';
import type { Steps } from '../../numeric/slices.ts';
import { placeOfResource, type ResourcePlace } from './place.ts';
import { type PointSink, readPoints } from './points.ts';
import { Refusals } from './refusals.ts';
import type { ReportedMetric } from './request.ts';
import { type EncodedBatch, ProducerSamples } from './samples.ts';

export interface ReadExport {
  /** In order of their newest event times. */
  readonly batches: readonly EncodedBatch[];
  readonly refusals: Refusals;
  /** Points given, refused ones included. */
  readonly points: number;
}

/** Reads an export. Linear in its points, but for sorting those that come out of order. */
export function* readExport(metrics: Iterable<ReportedMetric>): Steps<ReadExport> {
  const reading = new Reading();
  for (const reported of metrics) {
    yield* reading.take(reported);
    yield;
  }
  const batches: EncodedBatch[] = [];
  for (const producer of reading.producers.values())
    for (const batch of producer.batches()) {
      batches.push(batch);
      yield;
    }
  batches.sort((one, other) => one.newestMs - other.newestMs);
  return { batches, refusals: reading.refusals, points: reading.points };
}

class Reading {
  readonly refusals = new Refusals();
  readonly producers = new Map<string, ProducerSamples>();
  points = 0;
  /** Per node, who reports each series. */
  private readonly owners = new Map<string, Map<string, string>>();
  private resource: Resource | undefined;
  /** Place of `resource`; undefined where nothing names its node. */
  private place: ResourcePlace | undefined;

  *take({ resource, scope, metric }: ReportedMetric): Steps<void> {
    if (resource !== this.resource) this.place = placeOfResource(resource.attributes);
    this.resource = resource;
    const { place } = this;
    if (place === undefined) {
      const points = metric.data.value?.dataPoints.length ?? 0;
      this.points += points;
      this.refusals.add(metric.name, 'NO_NODE', points);
      return;
    }
    const owner = [place.sourceId, scope.name, scope.version, metric.name].join('\0');
    this.points += yield* readPoints(metric, this.sink(place, owner, metric.name));
  }

  private sink(place: ResourcePlace, owner: string, metric: string): PointSink {
    const node = `${place.domain}.${place.cluster}.${place.node}`;
    const owners = entryOf(this.owners, node, () => new Map<string, string>());
    const producer = entryOf(this.producers, `${node}\0${place.sourceId}`, () => new ProducerSamples(place));
    return {
      claim: (series) => entryOf(owners, series, () => owner) === owner,
      take: (series, unit, kind, timeMs, value) => producer.add(series, unit, kind, timeMs, value),
      refuse: (reason, points) => this.refusals.add(metric, reason, points),
    };
  }
}

function entryOf<Value>(map: Map<string, Value>, key: string, make: () => Value): Value {
  let value = map.get(key);
  if (value === undefined) {
    value = make();
    map.set(key, value);
  }
  return value;
}
