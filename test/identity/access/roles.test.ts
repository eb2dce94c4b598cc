import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { intersect, permissionsOf } from '../../../src/identity/access/roles.ts';

const part = fc.constantFrom('*', 'session', 'energy', 'read', 'write');
const permissions = fc.array(
  fc.tuple(part, part).map(([noun, verb]) => `${noun}.${verb}`),
  { maxLength: 5 },
);
const concrete = fc
  .tuple(
    fc.constantFrom('session', 'energy', 'read', 'write', 'other'),
    fc.constantFrom('session', 'read', 'other'),
  )
  .map(([noun, verb]) => `${noun}.${verb}`);

/** The definition, as plain as can be. */
function allows(granted: readonly string[], asked: string): boolean {
  const [noun, verb] = asked.split('.');
  return granted.some((one) => {
    const [ownNoun, ownVerb] = one.split('.');
    return (ownNoun === '*' || ownNoun === noun) && (ownVerb === '*' || ownVerb === verb);
  });
}

describe('roles', () => {
  test('the admin may do everything, an unknown role nothing', () => {
    expect(permissionsOf(['admin'])).toEqual(['*.*']);
    expect(permissionsOf(['nobody'])).toEqual([]);
    expect(permissionsOf([])).toEqual([]);
    expect(permissionsOf(['admin', 'nobody', 'admin'])).toEqual(['*.*']);
  });

  test('scopes are cut down to what the roles allow', () => {
    expect(intersect(['session.*', 'energy.read'], ['*.read'])).toEqual(['session.read', 'energy.read']);
    expect(intersect(['*.*'], ['session.write'])).toEqual(['session.write']);
    expect(intersect(['session.write'], ['*.*'])).toEqual(['session.write']);
    expect(intersect(['session.write'], ['session.read'])).toEqual([]);
    expect(intersect([], ['*.*'])).toEqual([]);
  });

  test('an intersection allows exactly what both sides allow', () => {
    fc.assert(
      fc.property(permissions, permissions, concrete, (scopes, allowed, asked) => {
        expect(allows(intersect(scopes, allowed), asked)).toBe(
          allows(scopes, asked) && allows(allowed, asked),
        );
      }),
    );
  });
});
