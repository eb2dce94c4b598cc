/** How a level is held: at once up, slowly and only one step down. */
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  type HeldLevel,
  heldUntilMs,
  holdLevel,
  UNRAISED,
} from '../../../src/resilience/defense/hysteresis.ts';
import {
  absentInput,
  type DefenseInput,
  type DefenseLevel,
  utilizationInput,
  utilizationThresholds,
} from '../../../src/resilience/defense/level.ts';

const MINUTE_MS = 60_000;
const rules = { holdMs: 30 * MINUTE_MS, evidenceMs: 10 * MINUTE_MS, unknownLooksMax: 3 };
const CEILING = 0.8;
const MARGIN = 0.02;

/** Utilization of a look, or that it is unknown. */
type Seen = number | 'UNKNOWN';

function inputsOf(seen: Seen): DefenseInput[] {
  const figure =
    seen === 'UNKNOWN' ? ({ status: 'UNKNOWN' } as const) : ({ status: 'OK', value: seen } as const);
  return [
    utilizationInput(figure, CEILING, MARGIN, { startMs: 0, endMs: 1 }),
    absentInput('phase_risk', 'NOT_CONFIGURED'),
  ];
}

/** Levels after each look; looks are a minute apart. */
function levelsOf(looks: readonly Seen[], from: HeldLevel = UNRAISED): DefenseLevel[] {
  let held = from;
  return looks.map((seen, index) => {
    ({ held } = holdLevel(held, { atMs: index * MINUTE_MS, silenceMs: 0, inputs: inputsOf(seen) }, rules));
    return held.level;
  });
}

function repeat<Value>(value: Value, count: number): Value[] {
  return new Array<Value>(count).fill(value);
}

describe('raising', () => {
  test('goes to the level asked for at once, whatever the distance, and names the input', () => {
    const { held, cause } = holdLevel(UNRAISED, { atMs: 0, silenceMs: 0, inputs: inputsOf(0.99) }, rules);
    expect(held.level).toBe(5);
    expect(cause).toBe('utilization');
  });

  test('the level is never below what the inputs ask for, and rises only to it', () => {
    const utilization = fc.double({ min: 0, max: 1.2, noNaN: true });
    fc.assert(
      fc.property(fc.array(utilization, { maxLength: 200 }), (looks) => {
        let before = 1;
        for (const [index, level] of levelsOf(looks).entries()) {
          const asked = inputsOf(looks[index]!)[0]!.level;
          expect(level).toBeGreaterThanOrEqual(asked);
          if (level > before) expect(level).toBe(asked);
          before = level;
        }
      }),
    );
  });

  test('a fleet that is everywhere worse is nowhere at a lower level', () => {
    const pairs = fc.array(
      fc.tuple(fc.double({ min: 0, max: 1, noNaN: true }), fc.double({ min: 0, max: 0.3, noNaN: true })),
      { maxLength: 200 },
    );
    fc.assert(
      fc.property(pairs, (looks) => {
        const better = levelsOf(looks.map(([utilization]) => utilization));
        const worse = levelsOf(looks.map(([utilization, more]) => utilization + more));
        for (const [index, level] of better.entries()) expect(worse[index]).toBeGreaterThanOrEqual(level);
      }),
    );
  });
});

describe('lowering', () => {
  test('takes 30 minutes of calm for each level', () => {
    const levels = levelsOf([0.99, ...repeat(0.1, 121)]);
    expect(levels[30]).toBe(5);
    expect(levels[31]).toBe(4);
    expect(levels[60]).toBe(4);
    expect(levels[61]).toBe(3);
    expect(levels[91]).toBe(2);
    expect(levels[120]).toBe(2);
    expect(levels[121]).toBe(1);
  });

  test('is caused by hysteresis', () => {
    const held: HeldLevel = { ...UNRAISED, level: 3, calmSinceMs: 0 };
    const look = { atMs: 30 * MINUTE_MS, silenceMs: 0, inputs: inputsOf(0.1) };
    expect(holdLevel(held, look, rules)).toMatchObject({
      held: { level: 2, calmSinceMs: look.atMs },
      cause: 'hysteresis',
    });
  });

  test('needs the margin: just under a threshold is not calm', () => {
    const threshold = utilizationThresholds(CEILING)[1]!;
    expect(levelsOf([0.81, ...repeat(threshold - MARGIN + 0.001, 100)]).at(-1)).toBe(3);
    expect(levelsOf([0.81, ...repeat(threshold - MARGIN - 0.001, 31)]).at(-1)).toBe(2);
  });

  test('one look without calm starts the 30 minutes anew', () => {
    const levels = levelsOf([0.81, ...repeat(0.1, 29), 0.79, ...repeat(0.1, 31)]);
    expect(levels[60]).toBe(3);
    expect(levels[61]).toBe(2);
  });

  test('an unknown input blocks it and starts the 30 minutes anew', () => {
    expect(levelsOf([0.81, ...repeat<Seen>('UNKNOWN', 200)]).at(-1)).toBe(3);
    const levels = levelsOf([0.81, ...repeat(0.1, 29), 'UNKNOWN', ...repeat(0.1, 31)]);
    expect(levels[60]).toBe(3);
    expect(levels[61]).toBe(2);
  });

  test('silence longer than the evidence lasts is no calm', () => {
    const held: HeldLevel = { ...UNRAISED, level: 2, calmSinceMs: 0 };
    const look = { atMs: 40 * MINUTE_MS, inputs: inputsOf(0.1) };
    const heldAfter = (silenceMs: number) => holdLevel(held, { ...look, silenceMs }, rules).held;
    expect(heldAfter(10 * MINUTE_MS).level).toBe(1);
    expect(heldAfter(10 * MINUTE_MS + 1)).toMatchObject({ level: 2, calmSinceMs: look.atMs });
  });

  test('no level is lowered unless every look of the last 30 minutes was calm by the margin', () => {
    const utilization = fc.double({ min: 0, max: 1.1, noNaN: true });
    const calm = fc.double({ min: 0, max: 0.7, noNaN: true });
    const spell = fc.oneof(
      fc.tuple(utilization, fc.integer({ min: 1, max: 3 })),
      fc.tuple(calm, fc.integer({ min: 20, max: 45 })),
      fc.tuple(fc.constant<Seen>('UNKNOWN'), fc.integer({ min: 1, max: 2 })),
    );
    const days = fc.array(spell, { maxLength: 12 });
    let lowered = 0;
    fc.assert(
      fc.property(days, (spells) => {
        const looks = spells.flatMap(([seen, length]) => repeat(seen, length));
        const levels = levelsOf(looks);
        for (let i = 1; i < levels.length; i++) {
          const before = levels[i - 1]!;
          if (levels[i]! >= before) continue;
          lowered += 1;
          expect(levels[i]).toBe(before - 1);
          expect(i).toBeGreaterThan(30);
          for (let j = i - 30; j <= i; j++) {
            expect(levels[Math.min(j, i - 1)]).toBe(before);
            expect(looks[j]).toBeLessThanOrEqual(
              utilizationThresholds(CEILING)[before - 2]! - MARGIN + 1e-12,
            );
          }
        }
      }),
    );
    expect(lowered).toBeGreaterThan(0);
  });
});

describe('unknown and absent inputs', () => {
  test('unknown never raises by itself, but a vital input unknown for 3 looks forces level 2', () => {
    expect(levelsOf(['UNKNOWN', 'UNKNOWN', 0.1, 'UNKNOWN', 'UNKNOWN'])).toEqual([1, 1, 1, 1, 1]);
    expect(levelsOf(['UNKNOWN', 'UNKNOWN', 'UNKNOWN'])).toEqual([1, 1, 2]);
  });

  test('the forced level names the input that went dark', () => {
    const held: HeldLevel = { level: 1, unknownLooks: { utilization: 0, served_share: 2 } };
    const inputs = [...inputsOf(0.3), absentInput('served_share', 'UNKNOWN')];
    expect(holdLevel(held, { atMs: 0, silenceMs: 0, inputs }, rules)).toMatchObject({
      held: { level: 2 },
      cause: 'served_share',
    });
  });

  test('another input unknown for long forces nothing', () => {
    let held: HeldLevel = UNRAISED;
    for (let atMs = 0; atMs < 10; atMs++)
      ({ held } = holdLevel(
        held,
        { atMs, silenceMs: 0, inputs: [absentInput('phase_risk', 'UNKNOWN')] },
        rules,
      ));
    expect(held.level).toBe(1);
  });

  test('an input that is not configured neither raises nor blocks', () => {
    const inputs = [
      absentInput('utilization', 'NOT_CONFIGURED'),
      absentInput('served_share', 'NOT_CONFIGURED'),
    ];
    let held: HeldLevel = { ...UNRAISED, level: 2 };
    for (let minute = 0; minute <= 30; minute++)
      ({ held } = holdLevel(held, { atMs: minute * MINUTE_MS, silenceMs: 0, inputs }, rules));
    expect(held.level).toBe(1);
  });
});

test('held_until is when the level can fall at the earliest', () => {
  expect(heldUntilMs(UNRAISED, 5, rules)).toBeUndefined();
  expect(heldUntilMs({ ...UNRAISED, level: 2 }, 5, rules)).toBe(5 + rules.holdMs);
  expect(heldUntilMs({ ...UNRAISED, level: 2, calmSinceMs: 3 }, 5, rules)).toBe(3 + rules.holdMs);
});
