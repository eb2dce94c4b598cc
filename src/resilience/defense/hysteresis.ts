/**
 * How a level is held. It rises at once to what the inputs ask for. It falls by one level after every look of a whole
 * hold period of event time found every input at the lower level by a margin; the next fall needs a period of its own.
 *
 * An input that is UNKNOWN never raises by itself and blocks falling; where utilization or the served share stays
 * unknown for several looks, the level is at least 2. An input that takes no part is passed over. Event time,
 * milliseconds; looks come in its order.
 */
import { type DefenseInput, type DefenseLevel, type InputName, maxLevel } from './level.ts';

/** Inputs that must not go dark: unknown for long, they force level 2. */
const VITAL_INPUTS = ['utilization', 'served_share'] as const;
type VitalInput = (typeof VITAL_INPUTS)[number];

/** How slowly a level falls, event time in milliseconds. */
export interface HysteresisRules {
  /** Event time every input must have been calm before the level falls by one. */
  readonly holdMs: number;
  /** Longest hole between two looks that still counts as calm when both are. */
  readonly evidenceMs: number;
  /** Consecutive looks without a vital input that force level 2. */
  readonly unknownLooksMax: number;
}

/** A level and what is needed to go on holding it. */
export interface HeldLevel {
  readonly level: DefenseLevel;
  /** First of the looks since which all inputs ask for less, by the margin; absent when the last one did not. */
  readonly calmSinceMs?: number;
  /** Consecutive looks, up to the last one, that found a vital input unknown. */
  readonly unknownLooks: Readonly<Record<VitalInput, number>>;
}

/** What one look brings. */
export interface Findings {
  readonly atMs: number;
  /** Event time between the look before and the beginning of what this one stands on. */
  readonly silenceMs: number;
  readonly inputs: readonly DefenseInput[];
}

/** The level before anything was looked at. */
export const UNRAISED: HeldLevel = { level: 1, unknownLooks: { utilization: 0, served_share: 0 } };

/** The level after a look, and what changed it: an input's name, `hysteresis`, or nothing. */
export function holdLevel(
  held: HeldLevel,
  look: Findings,
  rules: HysteresisRules,
): { readonly held: HeldLevel; readonly cause: InputName | 'hysteresis' | undefined } {
  const unknownLooks = countUnknown(held.unknownLooks, look.inputs);
  const dark = VITAL_INPUTS.find((name) => unknownLooks[name] >= rules.unknownLooksMax);
  const worst = worstInput(look.inputs);
  const asked = maxLevel(worst?.level ?? 1, dark ? 2 : 1);
  if (asked > held.level) {
    const cause = worst?.level === asked ? worst.name : dark;
    return { held: { level: asked, unknownLooks }, cause };
  }

  const { level } = held;
  if (!isCalm(level, look.inputs)) return { held: { level, unknownLooks }, cause: undefined };
  const unbroken = held.calmSinceMs !== undefined && look.silenceMs <= rules.evidenceMs;
  const calmSinceMs = unbroken ? held.calmSinceMs : look.atMs;
  if (look.atMs - calmSinceMs < rules.holdMs)
    return { held: { level, calmSinceMs, unknownLooks }, cause: undefined };

  const lower = (level - 1) as DefenseLevel;
  const calm = isCalm(lower, look.inputs);
  return {
    held: { level: lower, ...(calm && { calmSinceMs: look.atMs }), unknownLooks },
    cause: 'hysteresis',
  };
}

/** Event time before which the level will not fall, given its last look; absent at level 1. */
export function heldUntilMs(held: HeldLevel, lastLookMs: number, rules: HysteresisRules): number | undefined {
  return held.level === 1 ? undefined : (held.calmSinceMs ?? lastLookMs) + rules.holdMs;
}

/** The input asking for the highest level; the first of equals. */
export function worstInput(inputs: readonly DefenseInput[]): DefenseInput | undefined {
  let worst: DefenseInput | undefined;
  for (const input of inputs) if (worst === undefined || input.level > worst.level) worst = input;
  return worst;
}

/** Whether every input that takes part is known and lies under a level by the margin. */
function isCalm(level: DefenseLevel, inputs: readonly DefenseInput[]): boolean {
  return level > 1 && inputs.every((input) => input.status !== 'UNKNOWN' && input.cautiousLevel < level);
}

function countUnknown(
  before: HeldLevel['unknownLooks'],
  inputs: readonly DefenseInput[],
): HeldLevel['unknownLooks'] {
  const count = (name: VitalInput) =>
    inputs.some((input) => input.name === name && input.status === 'UNKNOWN') ? before[name] + 1 : 0;
  return { utilization: count('utilization'), served_share: count('served_share') };
}
