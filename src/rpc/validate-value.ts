/**
 * Checks of one value (a single field, an item of a list, a value of a map) against its rules: numbers, durations,
 * strings, bytes, enums. A check returns what the value must be, or nothing for a good value; texts are made when the
 * rules are compiled.
 */
import { type DescEnum, type DescField, type DescMessage, ScalarType } from '@bufbuild/protobuf';
import type { Duration } from '@bufbuild/protobuf/wkt';
import type { FieldRules } from '../gen/homeostat/options/v1/field_pb.ts';

/** Says what the value must be; undefined for a good one. */
export type ValueCheck = (value: unknown) => string | undefined;

/** The check of a field's values; undefined where the rules say nothing about a value. */
export function compileValue(field: DescField, rules: FieldRules): ValueCheck | undefined {
  const scalar = scalarOf(field);
  const type: DescMessage | undefined = field.message;
  const named: DescEnum | undefined = field.enum;
  if (named) return rules.defined || rules.required ? enumCheck(named) : undefined;
  if (type?.typeName === 'google.protobuf.Duration') return durationCheck(rules);
  if (scalar === ScalarType.STRING) return stringCheck(rules);
  if (scalar === ScalarType.BYTES) return bytesCheck(rules);
  return scalar === undefined ? undefined : numberCheck(rules);
}

function scalarOf(field: DescField): ScalarType | undefined {
  if (field.fieldKind === 'scalar') return field.scalar;
  return field.fieldKind === 'list' || field.fieldKind === 'map' ? field.scalar : undefined;
}

/** The first of several checks that finds something. */
function firstOf(checks: readonly ValueCheck[]): ValueCheck | undefined {
  if (checks.length < 2) return checks[0];
  return (value) => {
    for (const check of checks) {
      const wrong = check(value);
      if (wrong !== undefined) return wrong;
    }
    return undefined;
  };
}

/** Numbers and bigints compare alike. Each comparison is written so that NaN fails it. */
function numberCheck({ finite, gte, lte, gt, lt }: FieldRules, suffix = ''): ValueCheck | undefined {
  const checks: ValueCheck[] = [];
  if (finite) {
    const text = 'must be finite';
    checks.push((value) => (typeof value !== 'number' || Number.isFinite(value) ? undefined : text));
  }
  if (gte !== undefined) {
    const text = `must be at least ${gte}${suffix}`;
    checks.push((value) => ((value as number) >= gte ? undefined : text));
  }
  if (gt !== undefined) {
    const text = `must be greater than ${gt}${suffix}`;
    checks.push((value) => ((value as number) > gt ? undefined : text));
  }
  if (lte !== undefined) {
    const text = `must be at most ${lte}${suffix}`;
    checks.push((value) => ((value as number) <= lte ? undefined : text));
  }
  if (lt !== undefined) {
    const text = `must be less than ${lt}${suffix}`;
    checks.push((value) => ((value as number) < lt ? undefined : text));
  }
  return firstOf(checks);
}

function durationCheck(rules: FieldRules): ValueCheck | undefined {
  const check = numberCheck(rules, ' s');
  return check && ((value) => check(Number((value as Duration).seconds) + (value as Duration).nanos / 1e9));
}

function stringCheck({ minLength, maxLength, pattern, uuid }: FieldRules): ValueCheck | undefined {
  const checks: ValueCheck[] = [];
  if (minLength !== undefined) {
    const text = `must have at least ${minLength} characters`;
    checks.push((value) => (hasFewer(value as string, minLength) ? text : undefined));
  }
  if (maxLength !== undefined) {
    const text = `must have at most ${maxLength} characters`;
    checks.push((value) => (hasFewer(value as string, maxLength + 1) ? undefined : text));
  }
  if (pattern !== '') {
    const expression = new RegExp(`^(?:${pattern})$`, 'u');
    const text = `must match ${pattern}`;
    checks.push((value) => (expression.test(value as string) ? undefined : text));
  }
  if (uuid) {
    const expression = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
    const text = 'must be a UUID in lower case with hyphens';
    checks.push((value) => (expression.test(value as string) ? undefined : text));
  }
  return firstOf(checks);
}

/** Whether a string has fewer than `count` characters (code points). Counts only where its length leaves it open. */
function hasFewer(text: string, count: number): boolean {
  if (text.length < count) return true;
  if (text.length >= 2 * count) return false; // A character is at most two units.
  let characters = 0;
  for (const _ of text) if (++characters >= count) return false;
  return true;
}

function bytesCheck({ minLength, maxLength }: FieldRules): ValueCheck | undefined {
  const checks: ValueCheck[] = [];
  if (minLength !== undefined) {
    const text = `must have at least ${minLength} bytes`;
    checks.push((value) => ((value as Uint8Array).length < minLength ? text : undefined));
  }
  if (maxLength !== undefined) {
    const text = `must have at most ${maxLength} bytes`;
    checks.push((value) => ((value as Uint8Array).length > maxLength ? text : undefined));
  }
  return firstOf(checks);
}

function enumCheck(type: DescEnum): ValueCheck {
  const numbers = new Set(type.values.map((value) => value.number));
  const text = `must be a value of ${type.typeName}`;
  return (value) => (numbers.has(value as number) ? undefined : text);
}
