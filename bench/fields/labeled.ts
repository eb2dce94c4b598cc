/**
 * Labeled fields, each from its own seed: EQUILIBRIUM what is stationary (random fields, fleets, Ising away from its
 * critical temperature, settled Gray-Scott patterns), CRITICAL Ising within 3 % of it, TRANSITION what drifts or has just
 * switched, CHAOTIC lattices of logistic maps.
 */
import { createRandom, type Random } from '../../src/random.ts';
import { drifting, switched } from './changing.ts';
import { between, type Field, type LabeledField, noisy, oneOf, type Shape } from './field.ts';
import { grayScottField } from './gray-scott.ts';
import { CRITICAL_TEMPERATURE, isingField } from './ising.ts';
import { logisticField } from './logistic.ts';
import {
  gaussianField,
  MARGINALS,
  movingPattern,
  onBackground,
  physicalFleet,
  statisticalFleet,
  withIncidents,
  withMarginal,
} from './stationary.ts';

/** Labels that fields have, as often as each other. */
export const LABELS = ['EQUILIBRIUM', 'TRANSITION', 'CRITICAL', 'CHAOTIC'] as const;
type Label = (typeof LABELS)[number];

/** Maps before those that are judged, up to which a detector has settled. */
const LONGEST = 160;
const RING = 64;

/** The field of a seed. */
export function labeledField(label: Label, seed: number): LabeledField {
  const random = createRandom(seed, LABELS.indexOf(label) + 1);
  const made = MAKERS[label](random);
  return { label, ...made };
}

type Made = Omit<LabeledField, 'label'>;

const MAKERS: Readonly<Record<Label, (random: Random) => Made>> = {
  EQUILIBRIUM: equilibrium,
  TRANSITION: transition,
  CRITICAL: (random) => {
    const temperature = CRITICAL_TEMPERATURE * (1 + between(random, -0.03, 0.03));
    return { family: 'ising critical', windows: windowsOf(random), field: ising(temperature, random) };
  },
  CHAOTIC: (random) => {
    const law = { growth: between(random, 3.8, 4), coupling: between(random, 0, 0.5) };
    const field = noisy(logisticField({ ...shapeOf(random), ...law }, random), noiseOf(random), random);
    return { family: 'logistic lattice', windows: windowsOf(random), field };
  },
};

function equilibrium(random: Random): Made {
  const windows = windowsOf(random);
  const kind = random.uniform();
  if (kind < 0.15) {
    const away = random.uniform() < 0.5 ? between(random, 0.5, 0.85) : between(random, 1.3, 3);
    return { family: 'ising away', windows, field: ising(away * CRITICAL_TEMPERATURE, random) };
  }
  if (kind < 0.3) {
    const side = oneOf(random, [24, 32, 48]);
    const field = noisy(grayScottField(side, random), noiseOf(random), random);
    return { family: 'gray-scott', windows, field };
  }
  return { ...stationary(random), windows };
}

/** A stationary random field or fleet; every third with an incident now and then, which is no change of its law. */
function stationary(random: Random): Pick<Made, 'family' | 'field'> {
  const made = undisturbed(random);
  if (random.uniform() < 0.67) return made;
  return { ...made, field: withIncidents(made.field, 0.02, random) };
}

function undisturbed(random: Random): Pick<Made, 'family' | 'field'> {
  const kind = random.uniform();
  if (kind < 0.3) return { family: 'statistical fleet', field: statisticalFleet(fleetShape(random), random) };
  if (kind < 0.5) return { family: 'physical fleet', field: physicalFleet(fleetShape(random), random) };
  const law = {
    ...shapeOf(random),
    memory: oneOf(random, [0, 0.3, 0.6, 0.8, 0.9]),
    smoothing: oneOf(random, [0, 0, 1, 3, 8]),
  };
  const field = withMarginal(gaussianField(law, random), oneOf(random, Object.values(MARGINALS)));
  if (kind < 0.7) return { family: 'random field', field };
  if (kind < 0.85) {
    const still = onBackground(field, between(random, 0.5, 5), random);
    return { family: 'random field on a background', field: still };
  }
  const moving = movingPattern(field, between(random, 0.5, 3), 1 + random.below(3), random);
  return { family: 'moving pattern', field: moving };
}

function transition(random: Random): Made {
  const { field } = stationary(random);
  const isLevel = random.uniform() < 0.7;
  const sign = random.uniform() < 0.5 ? -1 : 1;
  if (random.uniform() < 0.5) {
    const windows = Math.max(36, windowsOf(random));
    const change = {
      level: isLevel ? sign * between(random, 2, 6) : 0,
      spread: isLevel ? 0 : sign * between(random, 0.9, 2),
    };
    const from = Math.max(0, windows - RING - random.below(RING));
    return { family: 'drifting', windows, field: drifting(field, change, from, RING) };
  }
  const windows = between(random, 90, LONGEST) | 0;
  const age = 7 + random.below(10);
  const change = {
    level: isLevel ? sign * between(random, 2, 6) : 0,
    spread: isLevel ? 0 : between(random, 0.9, 2),
  };
  return { family: 'just switched', windows, field: switched(field, change, windows - age) };
}

function ising(temperature: number, random: Random): Field {
  const block = 1 + random.below(2);
  const side = oneOf(random, block === 2 ? [16, 24, 32] : [8, 12, 16, 24, 32]);
  const law = { side, temperature, sweeps: 1 + random.below(5), block };
  return noisy(isingField(law, random), Math.max(0.05, noiseOf(random)), random);
}

/** Maps judged together: mostly whole rings after some time, some that have only begun. */
function windowsOf(random: Random): number {
  return random.uniform() < 0.3 ? 16 + random.below(48) : RING + random.below(LONGEST - RING + 1);
}

function noiseOf(random: Random): number {
  return oneOf(random, [0.01, 0.03, 0.1, 0.2]);
}

function shapeOf(random: Random): Shape {
  if (random.uniform() < 0.3) return fleetShape(random);
  const side = oneOf(random, [8, 12, 16, 24, 32]);
  return { rows: side, cols: random.uniform() < 0.3 ? Math.ceil(side / 2) : side };
}

/** The arrangement of 4 to 100 nodes. */
function fleetShape(random: Random): Shape {
  const nodes = Math.round(Math.exp(between(random, Math.log(4), Math.log(100))));
  const cols = Math.ceil(Math.sqrt(nodes));
  return { rows: Math.floor(nodes / cols), cols };
}
