/**
 * What a call costs, in tokens of its caller's rate: max(base, ceil(units / per)), as the contract says. Kibibytes are
 * counted before a request is decoded; what lies in its fields (items, cells) only afterwards. Which of the two a
 * method needs is found out once, when it is bound.
 */
import type { DescField, DescMessage, DescMethod } from '@bufbuild/protobuf';
import { type Cost, CostUnit, CostUnitSchema } from '../gen/homeostat/options/v1/method_pb.ts';
import { GridSchema } from '../gen/homeostat/type/v1/grid_pb.ts';

export interface CallCost {
  /** Whether `tokens` looks into the decoded request. */
  readonly needsRequest: boolean;
  /**
   * Tokens of a call: 1 or more, finite. `request` is the decoded, not yet checked message where `needsRequest`; a stream
   * is charged once, with 0 bytes, when it opens.
   */
  tokens(requestBytes: number, request?: object): number;
}

type Count = (request: object) => number;
type Fields = Readonly<Record<string, unknown>>;

const KIB = 1024;
/** Costs end here, so that what a hostile request claims to hold stays a number. */
const TOKENS_MAX = 1e9;
/** Messages within messages that are looked into for grids. */
const DEPTH_MAX = 8;
/** Steps of a map to be drawn where its `num_inference_steps` is unset: the default of the contracts. */
const STEPS = 50;

/** Throws an Error where the contract counts what its request does not have. */
export function callCost(method: DescMethod, cost: Cost): CallCost {
  const { base, per, unit } = cost;
  const charge = (units: number) => Math.min(TOKENS_MAX, Math.max(base, Math.ceil(units / per)));
  if (unit === CostUnit.UNSPECIFIED) return { needsRequest: false, tokens: () => base };
  if (unit === CostUnit.KIB) return { needsRequest: false, tokens: (bytes) => charge(bytes / KIB) };
  const count = unit === CostUnit.CELL_STEPS ? cellSteps(method.input) : mainList(method.input);
  if (!count || method.methodKind !== 'unary')
    throw new Error(
      `${method.parent.typeName}/${method.name} costs by ${CostUnitSchema.value[unit]!.localName}, which its request does not have`,
    );
  return { needsRequest: true, tokens: (_bytes, request) => charge(count(request!)) };
}

/** Items of the list that a request is about: the first one it declares. */
function mainList(type: DescMessage): Count | undefined {
  const list = type.fields.find((field) => field.fieldKind === 'list');
  return list && ((request) => ((request as Fields)[list.localName] as readonly unknown[]).length);
}

/** Cells of all grids of a request, and of all maps it has drawn, times its field `steps` where it has one that is set. */
function cellSteps(type: DescMessage): Count | undefined {
  const cells = cellsOf(type, DEPTH_MAX);
  if (!cells) return undefined;
  const steps = type.fields.find((field) => field.name === 'steps' && field.fieldKind === 'scalar');
  if (!steps) return cells;
  return (request) => cells(request) * Math.max(1, Number((request as Fields)[steps.localName] ?? 1));
}

function cellsOf(type: DescMessage, depth: number): Count | undefined {
  if (type.typeName === GridSchema.typeName)
    return (grid) => Number((grid as Fields)['rows']) * Number((grid as Fields)['cols']);
  const drawn = drawnCells(type);
  if (drawn) return drawn;
  if (depth === 0) return undefined;
  const counts: Count[] = [];
  for (const field of type.fields) {
    const inner = field.message && cellsOf(field.message, depth - 1);
    if (inner)
      counts.push((message) => valuesOf(field, message).reduce((sum: number, one) => sum + inner(one), 0));
  }
  if (counts.length === 0) return undefined;
  return (message) => counts.reduce((sum, count) => sum + count(message), 0);
}

/**
 * Of a message that says how maps are drawn, by its fields rows, cols and num_inference_steps: cells times steps, and
 * times its field samples where it has one that is set. A side left to what the message names counts for nothing.
 */
function drawnCells(type: DescMessage): Count | undefined {
  const named = (name: string) =>
    type.fields.find((field) => field.name === name && field.fieldKind === 'scalar')?.localName;
  const [rows, cols, steps] = [named('rows'), named('cols'), named('num_inference_steps')];
  if (rows === undefined || cols === undefined || steps === undefined) return undefined;
  const samples = named('samples');
  return (message) => {
    const fields = message as Fields;
    const many = samples === undefined ? 1 : Math.max(1, Number(fields[samples] ?? 1));
    return Number(fields[rows]) * Number(fields[cols]) * Number(fields[steps] ?? STEPS) * many;
  };
}

/** The messages a field holds: none, one, or those of its list or map. */
function valuesOf(field: DescField, message: object): readonly object[] {
  const fields = message as Fields;
  if (field.oneof) {
    const chosen = fields[field.oneof.localName] as { readonly case?: string; readonly value?: object };
    return chosen.case === field.localName ? [chosen.value!] : [];
  }
  const value = fields[field.localName];
  if (value === undefined) return [];
  if (field.fieldKind === 'list') return value as readonly object[];
  return field.fieldKind === 'map' ? Object.values(value as object) : [value as object];
}
