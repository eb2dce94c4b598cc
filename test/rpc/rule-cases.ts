/**
 * Requests made from the contract alone: the smallest good one of each type, and for each rule of each field it can hold
 * (in nested messages, lists, maps and oneofs) requests that break just that rule, and requests at its bound. A rule
 * added to the contract has its cases without a word here.
 */
import {
  create,
  type DescField,
  type DescMessage,
  getOption,
  hasOption,
  ScalarType,
} from '@bufbuild/protobuf';
import {
  type FieldRules,
  FieldRulesSchema,
  rules as rulesOption,
} from '../../src/gen/homeostat/options/v1/field_pb.ts';
import { scaleOf } from './number-scale.ts';

/** A request, good but for one rule, or good with one value at its bound. */
export interface RuleCase {
  readonly request: object;
  /** `homeostat.type.v1.Grid.rows gte`. */
  readonly rule: string;
  /** Where the value lies in the request, as violations name it. */
  readonly path: string;
  /** How the violation begins; empty for a good request. */
  readonly says: string;
}

/** A value of a field. */
interface Probe {
  readonly rule: RuleName;
  readonly value: unknown;
  readonly says: string;
}
type Probes = (field: DescField, rules: FieldRules) => Iterable<Probe>;
type Fields = Record<string, unknown>;

/** What a value can break: all but the mark of secrets. */
type RuleName = Exclude<keyof FieldRules, 'secret' | `$${string}`>;

/** The rules of a field, named as in `RuleCase`. */
export function rulesNamed(field: DescField): string[] {
  const rules = rulesOf(field);
  if (!rules) return [];
  return FieldRulesSchema.fields
    .map(({ localName }) => localName as RuleName | 'secret')
    .filter((rule) => rule !== 'secret')
    .filter((rule) => rules[rule] !== undefined && rules[rule] !== false && rules[rule] !== '')
    .map((rule) => nameOf(field, rule));
}

/** Every request of a type that breaks one rule. A rule that no value can break has none. */
export function brokenRequests(type: DescMessage): Iterable<RuleCase> {
  return casesOf(type, brokenWholes, brokenValues);
}

/** Every request of a type with one value at a bound of its rules. */
export function requestsAtBounds(type: DescMessage): Iterable<RuleCase> {
  return casesOf(type, wholesAtBounds, valuesAtBounds);
}

/** The smallest message that breaks no rule: with what is required, and nothing else. */
export function goodMessage(type: DescMessage): object {
  const message = create(type) as unknown as Fields;
  for (const field of type.fields) if (rulesOf(field)?.required) set(message, field, goodWhole(field));
  return message;
}

const nameOf = (field: DescField, rule: RuleName) => `${field.parent.typeName}.${field.name} ${rule}`;

function* casesOf(root: DescMessage, wholes: Probes, values: Probes): Generator<RuleCase> {
  for (const chain of chainsOf(root)) {
    const field = chain.at(-1)!;
    const rules = rulesOf(field)!;
    const made = ({ rule, says }: Probe, place: string, whole: unknown): RuleCase => ({
      request: requestWith(root, chain, whole),
      rule: nameOf(field, rule),
      path: [...chain.slice(0, -1).map(placeOf), place].join('.'),
      says,
    });
    for (const probe of wholes(field, rules)) yield made(probe, field.name, probe.value);
    for (const probe of values(field, rules)) {
      if (isMany(field)) yield made(probe, placeOf(field), several(field, leastOf(field), probe.value));
      else if (!isUnset(field, probe.value)) yield made(probe, field.name, probe.value);
      else {
        // Zero is as good as absent, so only `required` minds it.
        const isBroken = probe.says !== '';
        if (isBroken === rules.required)
          yield made({ ...probe, says: isBroken ? REQUIRED : '' }, field.name, probe.value);
      }
    }
  }
}

/** The ways from a type to each field with rules, through no type twice. */
function* chainsOf(type: DescMessage, before: readonly DescField[] = []): Generator<readonly DescField[]> {
  const holders = new Set([type, ...before.map((field) => field.parent)]);
  for (const field of type.fields) {
    const chain = [...before, field];
    if (rulesOf(field)) yield chain;
    if (field.message && !holders.has(field.message)) yield* chainsOf(field.message, chain);
  }
}

/** A good request but for the field at the end of a chain. */
function requestWith(type: DescMessage, [field, ...rest]: readonly DescField[], whole: unknown): object {
  const message = goodMessage(type);
  const inner = rest.length === 0 ? whole : requestWith(field!.message!, rest, whole);
  const holds = rest.length > 0 && isMany(field!) ? several(field!, leastOf(field!), inner) : inner;
  set(message as Fields, field!, holds);
  return message;
}

function set(message: Fields, field: DescField, value: unknown): void {
  if (!field.oneof) message[field.localName] = value;
  else
    message[field.oneof.localName] = value === undefined ? { case: value } : { case: field.localName, value };
}

const isMany = (field: DescField) => field.fieldKind === 'list' || field.fieldKind === 'map';
const leastOf = (field: DescField) => Math.max(1, rulesOf(field)?.minItems ?? 0);

/** How a violation names the place of a field's value, or of the first one in it. */
function placeOf({ fieldKind, name }: DescField): string {
  if (fieldKind === 'list') return `${name}[0]`;
  return fieldKind === 'map' ? `${name}["0"]` : name;
}

/** A list or map of so many good values, or with another one first. */
function several(field: DescField, count: number, first?: unknown): unknown {
  const values: unknown[] = new Array(count).fill(goodValue(field));
  if (first !== undefined) values[0] = first;
  return field.fieldKind === 'map' ? { ...values } : values;
}

const REQUIRED = 'is required';

function* brokenWholes(field: DescField, rules: FieldRules): Generator<Probe> {
  const { required, minItems = 0, maxItems } = rules;
  const tooFew = minItems > 1 ? `must have at least ${minItems} ` : REQUIRED;
  if (!isMany(field)) {
    if (required) yield { rule: 'required', value: unsetValue(field), says: REQUIRED };
    return;
  }
  if (required) yield { rule: 'required', value: several(field, 0), says: tooFew };
  if (minItems > 1 || (minItems === 1 && required))
    yield { rule: 'minItems', value: several(field, minItems - 1), says: tooFew };
  if (maxItems !== undefined)
    yield { rule: 'maxItems', value: several(field, maxItems + 1), says: `must have at most ${maxItems} ` };
}

function* wholesAtBounds(field: DescField, { required, minItems, maxItems }: FieldRules): Generator<Probe> {
  if (required) yield { rule: 'required', value: goodWhole(field), says: '' };
  if (minItems !== undefined) yield { rule: 'minItems', value: several(field, minItems), says: '' };
  if (maxItems !== undefined) yield { rule: 'maxItems', value: several(field, maxItems), says: '' };
}

/** Values of a field, or of an item of it, that break one rule each. */
function* brokenValues(field: DescField, rules: FieldRules): Generator<Probe> {
  if (field.enum) {
    const named = new Set(field.enum.values.map(({ number }) => number));
    const unnamed = Array.from({ length: named.size + 1 }, (_, i) => i + 1).find((i) => !named.has(i));
    const says = `must be a value of ${field.enum.typeName}`;
    if (rules.defined || rules.required) yield { rule: 'defined', value: unnamed, says };
  } else if (scaleOf(field)) yield* brokenNumbers(field, rules);
  else if (isText(field)) yield* brokenTexts(field, rules);
}

function* brokenNumbers(field: DescField, rules: FieldRules): Generator<Probe> {
  const scale = scaleOf(field)!;
  const { finite, gte, gt, lte, lt } = rules;
  if (finite && scale.isFloating)
    for (const value of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])
      yield { rule: 'finite', value, says: 'must be finite' };
  const beyond: [RuleName, number, string][] = [];
  if (gte !== undefined) beyond.push(['gte', scale.below(gte), `must be at least ${gte}`]);
  if (gt !== undefined) beyond.push(['gt', gt, `must be greater than ${gt}`]);
  if (lte !== undefined) beyond.push(['lte', scale.above(lte), `must be at most ${lte}`]);
  if (lt !== undefined) beyond.push(['lt', lt, `must be less than ${lt}`]);
  for (const [rule, value, says] of beyond)
    if (scale.holds(value)) yield { rule, value: scale.from(value), says };
  const [first] = beyond;
  if (first && scale.isFloating && !finite) yield { rule: first[0], value: Number.NaN, says: first[2] };
}

function* brokenTexts(field: DescField, rules: FieldRules): Generator<Probe> {
  const { minLength = 0, maxLength, pattern, uuid } = rules;
  if (minLength > 0)
    yield {
      rule: 'minLength',
      value: textOf(field, minLength - 1),
      says: `must have at least ${minLength} `,
    };
  if (maxLength !== undefined)
    yield { rule: 'maxLength', value: textOf(field, maxLength + 1), says: `must have at most ${maxLength} ` };
  for (const value of pattern === '' ? [] : around(goodValue(field)))
    if (!isMatch(rules, value)) yield { rule: 'pattern', value, says: `must match ${pattern}` };
  if (uuid)
    for (const value of [UUID.toUpperCase(), UUID.replace('-', ''), ...around(UUID)])
      yield { rule: 'uuid', value, says: 'must be a UUID' };
}

/** Texts that hold one, and something else. */
const around = (text: unknown) => [` ${text}`, `${text} `, `${text}\n`];

/** Good values of a field, or of an item of it, as far out as its rules allow. */
function* valuesAtBounds(field: DescField, rules: FieldRules): Generator<Probe> {
  const at = (rule: RuleName, value: unknown): Probe => ({ rule, value, says: '' });
  const scale = scaleOf(field);
  if (field.enum && (rules.defined || rules.required))
    for (const { number } of field.enum.values) yield at('defined', number);
  if (scale) {
    const { finite, gte, gt, lte, lt } = rules;
    if (finite) yield at('finite', goodNumber(field, rules, scale.greatest));
    if (gte !== undefined) yield at('gte', scale.from(gte));
    if (gt !== undefined) yield at('gt', scale.from(scale.above(gt)));
    if (lte !== undefined) yield at('lte', scale.from(lte));
    if (lt !== undefined) yield at('lt', scale.from(scale.below(lt)));
  }
  if (!isText(field)) return;
  for (const rule of ['minLength', 'maxLength'] as const) {
    const length = rules[rule];
    if (length === undefined) continue;
    const good = goodValue(field);
    const text = typeof good === 'string' ? good.padEnd(length, good.at(-1)) : new Uint8Array(length);
    if (text.length === length && isMatch(rules, text)) yield at(rule, text);
  }
  if (rules.pattern !== '') yield at('pattern', goodValue(field));
  if (rules.uuid) yield at('uuid', UUID);
}

const goodWhole = (field: DescField) => (isMany(field) ? several(field, leastOf(field)) : goodValue(field));

const UUID = '0190a3b4-7c1d-7e00-8a2b-0123456789ab';
/** Of which one matches each pattern of the contract. */
const TEXTS = ['a', 'a.b', 'AB', 'a:b', 'external.a'];

/** A value, or an item of a list or map, that breaks no rule and is not unset. */
function goodValue(field: DescField): unknown {
  const rules = rulesOf(field);
  if (scaleOf(field)) return goodNumber(field, rules);
  if (field.message) return goodMessage(field.message);
  if (field.enum) return field.enum.values.find(({ number }) => number !== 0)!.number;
  if (field.scalar === ScalarType.BOOL) return true;
  if (rules?.uuid) return UUID;
  const length = Math.max(1, rules?.minLength ?? 0);
  const text = [textOf(field, length), ...TEXTS].find((found) => !rules || isMatch(rules, found));
  if (text === undefined) throw new Error(`TEXTS has none that matches ${rules!.pattern}`);
  return text;
}

/** A number that breaks no rule, and not zero: the one wished for, where that is good. */
function goodNumber(field: DescField, rules: FieldRules | undefined, wished = 1): unknown {
  const scale = scaleOf(field)!;
  const { NEGATIVE_INFINITY: least, POSITIVE_INFINITY: greatest } = Number;
  const { gte = least, gt = least, lte = greatest, lt = greatest } = rules ?? {};
  const value = [wished, 1, gte, lte, scale.above(gt), scale.below(lt)].find(
    (found) =>
      found !== 0 && Number.isFinite(found) && found >= gte && found > gt && found <= lte && found < lt,
  );
  if (value === undefined) throw new Error(`${field.toString()} has no number that is good`);
  return scale.from(value);
}

/** Whether a text matches its pattern; bytes have none. */
function isMatch({ pattern }: FieldRules, text: unknown): boolean {
  return pattern === '' || new RegExp(`^(?:${pattern})$`, 'u').test(text as string);
}

const isText = ({ scalar }: DescField) => scalar === ScalarType.STRING || scalar === ScalarType.BYTES;

/** A text or bytes of some length. */
function textOf({ scalar }: DescField, length: number): unknown {
  return scalar === ScalarType.BYTES ? new Uint8Array(length) : 'a'.repeat(length);
}

/** What a single field is when it is not set. */
function unsetValue(field: DescField): unknown {
  if (field.oneof || field.message || field.proto.proto3Optional) return undefined;
  if (field.enum) return 0;
  if (isText(field)) return textOf(field, 0);
  return field.scalar === ScalarType.BOOL ? false : scaleOf(field)!.from(0);
}

/** Whether a single field with this value counts as unset, as the contract says. */
function isUnset(field: DescField, value: unknown): boolean {
  if (field.enum || isText(field)) return value === 0 || (value as { length?: number }).length === 0;
  return value === unsetValue(field);
}

function rulesOf(field: DescField): FieldRules | undefined {
  return hasOption(field, rulesOption) ? getOption(field, rulesOption) : undefined;
}
