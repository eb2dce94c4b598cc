/** Every rule of every field of every request, broken and at its bound, as the contract itself says it. */
import { describe, expect, test } from '@jest/globals';
import { compileRules } from '../../src/rpc/validate.ts';
import { byPath, ownMethods, types } from '../support/contract.ts';
import { brokenRequests, goodMessage, requestsAtBounds, rulesNamed } from './rule-cases.ts';

describe('endpoints: a request', () => {
  const none = () => [];
  const broken = new Set<string>();
  const reached = new Set<string>();

  test.each(byPath(ownMethods))(
    'of %s that breaks one rule is refused, and told which field',
    (_path, method) => {
      const check = compileRules(method.input) ?? none;
      expect(check(goodMessage(method.input))).toEqual([]);
      const wrong: unknown[] = [];
      for (const { request, rule, path, says } of brokenRequests(method.input)) {
        broken.add(rule);
        const violations = check(request);
        const [first] = violations;
        if (violations.length !== 1 || first!.field !== path || !first!.description.startsWith(says))
          wrong.push({ path, rule, says, violations });
      }
      expect(wrong).toEqual([]);
    },
  );

  test.each(byPath(ownMethods))('of %s with a value at its bound is taken', (_path, method) => {
    const check = compileRules(method.input) ?? none;
    const wrong: unknown[] = [];
    for (const { request, rule, path } of requestsAtBounds(method.input)) {
      reached.add(rule);
      const violations = check(request);
      if (violations.length > 0) wrong.push({ path, rule, violations });
    }
    expect(wrong).toEqual([]);
  });

  test('of some RPC breaks each rule of the contract, and another one is at its bound', () => {
    const fields = types.flatMap((type) => (type.kind === 'message' ? type.fields : []));
    const rules = fields.flatMap(rulesNamed);
    expect(rules.length).toBeGreaterThan(450);
    expect(rules.filter((rule) => !broken.has(rule))).toEqual([]);
    expect(rules.filter((rule) => !reached.has(rule))).toEqual([]);
  });
});
