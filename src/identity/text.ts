/**
 * The rules that free text of requests keeps: no control characters but tab and line feed, and one spelling of each
 * character (Unicode normalization form C). Text that breaks them is refused, never mended.
 */
import type { FieldViolation } from '../errors.ts';

// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it looks for.
const CONTROL = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/;

/** What is wrong with these texts, by the path of their field. */
export function textViolations(fields: Readonly<Record<string, string>>): FieldViolation[] {
  return Object.entries(fields).flatMap(([field, text]) => {
    if (CONTROL.test(text))
      return [{ field, description: 'must hold no control characters but tab and line feed' }];
    if (text.normalize('NFC') !== text)
      return [{ field, description: 'must be in Unicode normalization form C' }];
    return [];
  });
}
