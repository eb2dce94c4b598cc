/**
 * How the methods of published contracts that this server answers are treated: those contracts have no room for options
 * of ours. A call of any costs one token. Everything else says these things in its own contract.
 */
import { Audit, Criticality } from '../gen/homeostat/options/v1/method_pb.ts';

export interface StandardMethod {
  /** `<noun>.<verb>`; empty for a public method. */
  readonly permission: string;
  readonly audit: Audit;
  readonly criticality: Criticality;
}

function open(criticality: Criticality): StandardMethod {
  return { permission: '', audit: Audit.NONE, criticality };
}

export const standardMethods: ReadonlyMap<string, StandardMethod> = new Map([
  ['grpc.health.v1.Health/Check', open(Criticality.CRITICAL)],
  ['grpc.health.v1.Health/Watch', open(Criticality.CRITICAL)],
  ['grpc.reflection.v1.ServerReflection/ServerReflectionInfo', open(Criticality.NORMAL)],
  ['grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo', open(Criticality.NORMAL)],
  [
    'opentelemetry.proto.collector.metrics.v1.MetricsService/Export',
    { permission: 'telemetry.write', audit: Audit.BATCHED, criticality: Criticality.HIGH },
  ],
]);
