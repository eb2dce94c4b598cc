/**
 * Checks requests against the field rules of the contract (`homeostat.options.v1.rules`). The rules of a message type
 * are compiled once into closures; checking a good message reflects on nothing and allocates nothing, and a type
 * without a rule anywhere in it compiles to nothing. Paths read `map.grid.values[3]`, `labels["rack"]`; they are put
 * together only when something is wrong, from the inside out.
 */
import { type DescField, type DescMessage, getOption, hasOption, ScalarType } from '@bufbuild/protobuf';
import type { FieldViolation } from '../errors.ts';
import { rules as rulesOption } from '../gen/homeostat/options/v1/field_pb.ts';
import { compileValue, type ValueCheck } from './validate-value.ts';

/** Most violations reported of one message. */
export const VIOLATIONS_MAX = 16;

/** Lists the broken fields of a message of one type; nothing for a good one. */
export type Checker = (message: object) => readonly FieldViolation[];

/** A violation whose path still grows. */
interface Found {
  field: string;
  readonly description: string;
}
type MessageCheck = (message: object, found: Found[]) => void;
type Fields = Readonly<Record<string, unknown>>;

const NONE: readonly FieldViolation[] = [];

/** The checker of a message type; undefined for a type without rules. */
export function compileRules(type: DescMessage): Checker | undefined {
  const check = new Compiler().messageCheck(type);
  if (!check) return undefined;
  const scratch: Found[] = [];
  return (message) => {
    check(message, scratch);
    return scratch.length === 0 ? NONE : scratch.splice(0).slice(0, VIOLATIONS_MAX);
  };
}

/** Compiles each message type once, also where types contain themselves. */
class Compiler {
  private readonly checks = new Map<DescMessage, MessageCheck>();

  messageCheck(type: DescMessage): MessageCheck | undefined {
    if (!hasRules(type, new Set())) return undefined;
    const known = this.checks.get(type);
    if (known) return known;
    const fields: MessageCheck[] = [];
    const check: MessageCheck = (message, found) => {
      for (let i = 0; i < fields.length && found.length < VIOLATIONS_MAX; i++) fields[i]!(message, found);
    };
    this.checks.set(type, check); // Before its fields: one of them may be of this type.
    for (const field of type.fields) {
      const fieldCheck = this.fieldCheck(field);
      if (fieldCheck) fields.push(fieldCheck);
    }
    return check;
  }

  private fieldCheck(field: DescField): MessageCheck | undefined {
    if (field.fieldKind === 'list') return this.listCheck(field);
    if (field.fieldKind === 'map') return this.mapCheck(field);
    const rules = rulesOf(field);
    const value = rules && compileValue(field, rules);
    const nested = field.message && this.messageCheck(field.message);
    if (!value && !nested && !rules?.required) return undefined;
    const get = getter(field);
    const isUnset = unset(field);
    const required = rules?.required ?? false;
    return (message, found) => {
      const given = get(message);
      if (isUnset(given)) {
        if (required) found.push({ field: field.name, description: 'is required' });
        return;
      }
      const wrong = value?.(given);
      if (wrong !== undefined) found.push({ field: field.name, description: wrong });
      if (nested) within(nested, given as object, found, field.name);
    };
  }

  private listCheck(field: DescField & { fieldKind: 'list' }): MessageCheck | undefined {
    const rules = rulesOf(field);
    const size = rules && sizeCheck(rules, 'items');
    const item = rules && compileValue(field, rules);
    const nested = field.message && this.messageCheck(field.message);
    if (!size && !item && !nested) return undefined;
    const { localName, name } = field;
    return (message, found) => {
      const items = (message as Fields)[localName] as readonly unknown[];
      const wrong = size?.(items.length);
      if (wrong !== undefined) {
        found.push({ field: name, description: wrong });
        return; // A list of the wrong length is not walked.
      }
      if (item) checkItems(item, items, found, name);
      if (nested)
        for (let i = 0; i < items.length && found.length < VIOLATIONS_MAX; i++)
          within(nested, items[i] as object, found, name, i);
    };
  }

  private mapCheck(field: DescField & { fieldKind: 'map' }): MessageCheck | undefined {
    const rules = rulesOf(field);
    const size = rules && sizeCheck(rules, 'entries');
    const value = rules && compileValue(field, rules);
    const nested = field.message && this.messageCheck(field.message);
    if (!size && !value && !nested) return undefined;
    const { localName, name } = field;
    return (message, found) => {
      const entries = (message as Fields)[localName] as Fields;
      const wrong = size?.(Object.keys(entries).length);
      if (wrong !== undefined) {
        found.push({ field: name, description: wrong });
        return;
      }
      if (!value && !nested) return;
      for (const key of Object.keys(entries)) {
        if (found.length >= VIOLATIONS_MAX) return;
        const at = `${name}[${JSON.stringify(key)}]`;
        const wrongValue = value?.(entries[key]);
        if (wrongValue !== undefined) found.push({ field: at, description: wrongValue });
        if (nested) within(nested, entries[key] as object, found, at);
      }
    };
  }
}

/** Checks a nested message and puts its place before the paths found in it. */
function within(check: MessageCheck, message: object, found: Found[], name: string, index?: number): void {
  const before = found.length;
  check(message, found);
  for (let i = before; i < found.length; i++) {
    const violation = found[i]!;
    violation.field = `${name}${index === undefined ? '' : `[${index}]`}.${violation.field}`;
  }
}

function checkItems(check: ValueCheck, items: readonly unknown[], found: Found[], name: string): void {
  for (let i = 0; i < items.length; i++) {
    const wrong = check(items[i]);
    if (wrong === undefined) continue;
    found.push({ field: `${name}[${i}]`, description: wrong });
    if (found.length >= VIOLATIONS_MAX) return;
  }
}

type Rules = NonNullable<ReturnType<typeof rulesOf>>;

function rulesOf(field: DescField) {
  return hasOption(field, rulesOption) ? getOption(field, rulesOption) : undefined;
}

/** Whether a rule is found in a type or in what it contains. */
function hasRules(type: DescMessage, seen: Set<DescMessage>): boolean {
  if (seen.has(type)) return false;
  seen.add(type);
  return type.fields.some(
    (field) =>
      hasOption(field, rulesOption) || (field.message !== undefined && hasRules(field.message, seen)),
  );
}

/** Reads a field of a message; undefined for a member of a oneof that is not the chosen one. */
function getter(field: DescField): (message: object) => unknown {
  const { localName } = field;
  if (!field.oneof) return (message) => (message as Fields)[localName];
  const group = field.oneof.localName;
  return (message) => {
    const chosen = (message as Fields)[group] as { case: string | undefined; value?: unknown };
    return chosen.case === localName ? chosen.value : undefined;
  };
}

/**
 * Whether a single field counts as unset: absent, an empty string or bytes, enum zero, or a zero number whose presence
 * is not tracked.
 */
function unset(field: DescField): (value: unknown) => boolean {
  if (field.fieldKind === 'enum') return (value) => value === undefined || value === 0;
  if (field.fieldKind !== 'scalar') return (value) => value === undefined;
  const tracked = field.oneof !== undefined || field.proto.proto3Optional;
  switch (field.scalar) {
    case ScalarType.STRING:
      return (value) => value === undefined || value === '';
    case ScalarType.BYTES:
      return (value) => value === undefined || (value as Uint8Array).length === 0;
    default:
      // Numbers of 64 bits are bigint; loose equality covers both kinds of zero, and false.
      return tracked
        ? (value) => value === undefined
        : (value) => value === 0 || value === 0n || value === false;
  }
}

/** Checks how many items a list or entries a map has. */
function sizeCheck(rules: Rules, noun: string): ((size: number) => string | undefined) | undefined {
  const min = Math.max(rules.minItems ?? 0, rules.required ? 1 : 0);
  const max = rules.maxItems ?? Number.POSITIVE_INFINITY;
  if (min === 0 && max === Number.POSITIVE_INFINITY) return undefined;
  const tooFew = rules.required && min === 1 ? 'is required' : `must have at least ${min} ${noun}`;
  const tooMany = `must have at most ${max} ${noun}`;
  return (size) => {
    if (size < min) return size === 0 && !rules.required ? undefined : tooFew;
    return size > max ? tooMany : undefined;
  };
}
