/** Members of JSON objects in the form they must have. Each throws a DataError that names the file and the member. */
import { DataError } from './data-error.ts';

export type JsonObject = Readonly<Record<string, unknown>>;

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function objectAt(value: JsonObject, name: string, path: string): JsonObject {
  const member = value[name];
  if (!isObject(member)) throw new DataError(path, `must have an object "${name}"`);
  return member;
}

/** A finite number. */
export function numberAt(value: JsonObject, name: string, path: string): number {
  const member = value[name];
  if (!isFiniteNumber(member)) throw new DataError(path, `must have a number "${name}"`);
  return member;
}

export function textAt(value: JsonObject, name: string, path: string): string {
  const member = value[name];
  if (typeof member !== 'string') throw new DataError(path, `must have a text "${name}"`);
  return member;
}

export function listAt(value: JsonObject, name: string, path: string): readonly unknown[] {
  const member = value[name];
  if (!Array.isArray(member)) throw new DataError(path, `must have a list "${name}"`);
  return member;
}

/** A list of objects. */
export function objectsAt(value: JsonObject, name: string, path: string): readonly JsonObject[] {
  const list = listAt(value, name, path);
  if (!list.every(isObject)) throw new DataError(path, `must have only objects in the list "${name}"`);
  return list;
}

/** A list of finite numbers. */
export function numbersAt(value: JsonObject, name: string, path: string): readonly number[] {
  const list = listAt(value, name, path);
  if (!list.every(isFiniteNumber)) throw new DataError(path, `must have only numbers in the list "${name}"`);
  return list;
}

function isFiniteNumber(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value);
}
