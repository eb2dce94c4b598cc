/**
 * OpenTelemetry attributes as text. One value has one text, whatever the encoding it came in: text as it is, numbers and
 * booleans as JavaScript writes them, bytes in base64, lists and maps as JSON with sorted keys. Values of different
 * types may share a text (1 and "1"). Pure.
 */
import type { AnyValue, KeyValue } from '../../gen/opentelemetry/proto/common/v1/common_pb.ts';

/** The text of a value; empty for one that is not set. */
export function textOf(value: AnyValue | undefined): string {
  const chosen = value?.value;
  return chosen?.case === 'stringValue' ? chosen.value : nestedText(value);
}

/** Entries in order of their keys, equal keys in that of their texts. */
export function sortedTexts(
  attributes: readonly KeyValue[],
): readonly (readonly [key: string, text: string])[] {
  return attributes.map(({ key, value }) => [key, textOf(value)] as const).sort(inOrder);
}

/** At most `most` UTF-16 units of a text, never half a character. */
export function cut(text: string, most: number): string {
  return text.length > most ? text.slice(0, most).replace(/[\uD800-\uDBFF]$/, '') : text;
}

function nestedText(value: AnyValue | undefined): string {
  const chosen = value?.value;
  switch (chosen?.case) {
    case 'stringValue':
      return JSON.stringify(chosen.value);
    case 'boolValue':
    case 'intValue':
    case 'doubleValue':
      return String(chosen.value);
    case 'bytesValue':
      return Buffer.from(chosen.value).toString('base64');
    case 'arrayValue':
      return `[${chosen.value.values.map(nestedText).join(',')}]`;
    case 'kvlistValue': {
      const entries = chosen.value.values.map(({ key, value }) => [key, nestedText(value)] as const);
      const pairs = entries.sort(inOrder).map(([key, text]) => `${JSON.stringify(key)}:${text}`);
      return `{${pairs.join(',')}}`;
    }
    default:
      return '';
  }
}

type Entry = readonly [key: string, text: string];

function inOrder([key, text]: Entry, [otherKey, otherText]: Entry): number {
  if (key !== otherKey) return key < otherKey ? -1 : 1;
  return text < otherText ? -1 : Number(text > otherText);
}
