/**
 * The methods of published contracts this server answers, and how critical they are. They are public, cost one token
 * and are not audited. Everything else says these things in its own contract.
 */
import { Criticality } from '../gen/homeostat/options/v1/method_pb.ts';

export const standardMethods: ReadonlyMap<string, Criticality> = new Map<string, Criticality>([
  ['grpc.health.v1.Health/Check', Criticality.CRITICAL],
  ['grpc.health.v1.Health/Watch', Criticality.CRITICAL],
  ['grpc.reflection.v1.ServerReflection/ServerReflectionInfo', Criticality.NORMAL],
  ['grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo', Criticality.NORMAL],
]);
