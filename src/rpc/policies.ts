/** The policy of every RPC there is, read from the descriptors that lie beside the generated code. */
import { createFileRegistry, fromBinary } from '@bufbuild/protobuf';
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import { type Policy, policyOf } from './policy.ts';
import { readDescriptors } from './reflection.ts';

/** Policies by name of the RPC, `homeostat.energy.v1.EnergyService/GetMap`. Cost: decodes all descriptors. */
export function readPolicies(): ReadonlyMap<string, Policy> {
  const types = createFileRegistry(fromBinary(FileDescriptorSetSchema, readDescriptors()));
  const policies = new Map<string, Policy>();
  for (const type of types)
    if (type.kind === 'service')
      for (const method of type.methods) policies.set(`${type.typeName}/${method.name}`, policyOf(method));
  return policies;
}
