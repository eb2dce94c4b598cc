/**
 * How the edge treats a method, read once from the contract: the option `homeostat.options.v1.policy`, or the list of
 * standard methods, which are others' contracts and carry no options of ours.
 */
import { create, type DescMethod, getOption, hasOption } from '@bufbuild/protobuf';
import {
  Audit,
  type Cost,
  CostSchema,
  Criticality,
  CriticalitySchema,
  type MethodPolicy,
  policy as policyOption,
} from '../gen/homeostat/options/v1/method_pb.ts';
import { standardMethods } from './standard-methods.ts';

export interface Policy {
  /** `<noun>.<verb>`; empty for a public method. */
  readonly permission: string;
  /** Needs no credentials. */
  readonly public: boolean;
  /** Tokens a call takes: max(base, ceil(units / per)). */
  readonly cost: Cost;
  readonly audit: Audit;
  readonly criticality: Criticality;
}

const ONE_TOKEN: Cost = create(CostSchema, { base: 1 });

/** Throws an Error for a method whose contract does not say how it is to be treated. */
export function policyOf(method: DescMethod): Policy {
  const path = `${method.parent.typeName}/${method.name}`;
  const standard = standardMethods.get(path);
  if (standard !== undefined) {
    const { permission } = standard;
    return { ...standard, public: permission === '', cost: ONE_TOKEN };
  }
  if (!hasOption(method, policyOption)) throw new Error(`${path} has no policy`);
  const declared = getOption(method, policyOption);
  const fault = policyFault(declared);
  if (fault) throw new Error(`${path} ${fault}`);
  return {
    permission: declared.permission,
    public: declared.public,
    cost: declared.cost!,
    audit: declared.audit,
    criticality: declared.criticality,
  };
}

/** A criticality as refusals name it: `HIGH`. */
export function criticalityName(criticality: Criticality): string {
  return CriticalitySchema.value[criticality]!.localName;
}

/** What a declared policy lacks; undefined for a complete one. */
export function policyFault(declared: MethodPolicy): string | undefined {
  if (declared.public !== (declared.permission === '')) return 'is either public or needs a permission';
  if (!declared.public && !/^[a-z]+\.[a-z]+$/.test(declared.permission))
    return `has permission "${declared.permission}", which is not <noun>.<verb>`;
  if (!declared.cost || declared.cost.base < 1) return 'costs less than one token';
  if (declared.cost.per > 0 !== declared.cost.unit > 0) return 'has a cost that grows by nothing';
  if (declared.audit === Audit.UNSPECIFIED) return 'does not say whether it is audited';
  if (declared.criticality === Criticality.UNSPECIFIED) return 'does not say how critical it is';
  return undefined;
}
