import { describe, expect, test } from '@jest/globals';
import { AppError, defineErrors, fieldError, reason } from '../src/errors.ts';

const make = defineErrors('homeostat.example', {
  THING_NOT_FOUND: reason('NOT_FOUND', ['id', 'place'], (m) => `no thing ${m.id} in ${m.place}`),
});

describe('errors', () => {
  test('carry reason, kind and metadata, and their text is computed from the metadata', () => {
    const error = make('THING_NOT_FOUND', { id: 7, place: 'here' }, { retryAfterMs: 5, cause: 'why' });
    expect(error).toBeInstanceOf(AppError);
    expect(error).toMatchObject({
      domain: 'homeostat.example',
      reason: 'THING_NOT_FOUND',
      kind: 'NOT_FOUND',
      message: 'no thing 7 in here',
      metadata: { id: '7', place: 'here' },
      retryAfterMs: 5,
      cause: 'why',
    });
  });

  test('a field error names the first fields and counts the rest', () => {
    const violations = ['a', 'b', 'c', 'd', 'e'].map((field) => ({ field, description: 'is wrong' }));
    const error = fieldError('homeostat.example', violations);
    expect(error).toMatchObject({ reason: 'FIELD_INVALID', kind: 'INVALID_ARGUMENT' });
    expect(error.message).toBe('a: is wrong; b: is wrong; c: is wrong (and 2 more)');
    expect(error.violations).toHaveLength(5);
  });
});
