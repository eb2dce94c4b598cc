import { describe, expect, test } from '@jest/globals';
import {
  mayBeReplaced,
  maySignIn,
  normalizePassword,
  passwordFault,
} from '../../../src/identity/password/password.ts';

const fault = (text: string, username = 'ada') => passwordFault(normalizePassword(text), username);

describe('passwords', () => {
  test('have 12 to 128 characters, counted as a reader counts them', () => {
    expect(fault('x'.repeat(11))).toBe('must have at least 12 characters');
    expect(fault('x'.repeat(12))).toBeUndefined();
    expect(fault('x'.repeat(128))).toBeUndefined();
    expect(fault('x'.repeat(129))).toBe('must have at most 128 characters');
    expect(fault('🔑'.repeat(11))).toBe('must have at least 12 characters');
    expect(fault('🔑'.repeat(12))).toBeUndefined();
    expect(fault('🔑'.repeat(128))).toBeUndefined();
  });

  test('do not contain the username, in whatever case', () => {
    expect(fault('my name is ADA ok')).toBe('must not contain the username');
    expect(fault('my name is Bob ok')).toBeUndefined();
    expect(fault('ada.lovelace42', 'ada.lovelace')).toBe('must not contain the username');
    expect(fault('my name is ada ok', '')).toBeUndefined();
  });

  test('are one and the same however their characters are composed', () => {
    const composed = 'Zürich ﬁnest Å';
    const decomposed = 'Zu\u0308rich finest A\u030a';
    expect(normalizePassword(composed)).toBe(normalizePassword(decomposed));
    expect(fault('ﬃ'.repeat(4))).toBeUndefined();
  });

  test('for one time are good for one login, and for being replaced until their time is over', () => {
    const fresh = { hash: 'h', oneTime: { untilMs: 100, spent: false } };
    const spent = { hash: 'h', oneTime: { untilMs: 100, spent: true } };
    const chosen = { hash: 'h', oneTime: undefined };
    expect([maySignIn(fresh, 99), maySignIn(fresh, 100), maySignIn(spent, 99)]).toEqual([true, false, false]);
    expect([mayBeReplaced(fresh, 99), mayBeReplaced(spent, 99), mayBeReplaced(spent, 100)]).toEqual([
      true,
      true,
      false,
    ]);
    expect([maySignIn(chosen, 1e15), mayBeReplaced(chosen, 1e15)]).toEqual([true, true]);
  });
});
