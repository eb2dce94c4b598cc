/**
 * What may be bound to a statement. One rule for both engines, since they differ where it hurts: SQLite keeps NaN as
 * NULL and cuts text at U+0000, PostgreSQL keeps NaN and refuses U+0000, and libsql ends the whole process when it is
 * given a boolean. So everything that would not come back as it went in is refused before a driver sees it.
 */
import { isUint8Array } from 'node:util/types';

/** Values that both engines give back as they were: numbers but NaN, text without U+0000, bytes, null. */
export type Parameter = number | bigint | string | Uint8Array | null;

/** Throws TypeError for the first value that cannot be stored faithfully. Cost: linear in the text's length. */
export function checkParameters(values: readonly unknown[]): asserts values is readonly Parameter[] {
  for (let i = 0; i < values.length; i++) {
    const problem = problemOf(values[i]);
    if (problem !== undefined) throw new TypeError(`SQL parameter ${i + 1} cannot be stored: ${problem}`);
  }
}

function problemOf(value: unknown): string | undefined {
  switch (typeof value) {
    case 'number':
      return Number.isNaN(value) ? 'NaN' : undefined;
    case 'string':
      return value.includes('\0') ? 'text with U+0000' : undefined;
    case 'bigint':
      return Number.isSafeInteger(Number(value)) ? undefined : 'an integer beyond 2^53-1';
    case 'object':
      return value === null || isUint8Array(value) ? undefined : 'an object that is not a Uint8Array';
    default:
      return `${typeof value} (store 0 and 1 for booleans, null for nothing)`;
  }
}
