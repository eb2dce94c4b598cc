/**
 * Random searches for a map of least energy, cell by cell (N. Metropolis et al., 1953): ANNEALING lets one map cool
 * geometrically (S. Kirkpatrick, C. Gelatt and M. Vecchi, 1983); BOLTZMANN keeps eight at fixed temperatures, and
 * neighbors trade places (R. Swendsen and J. Wang, 1986). A walk is plain data between two sweeps, each of which has its
 * own random numbers and takes its energies anew, so it may be taken in any number of goes.
 */
import type { Random } from '../../random.ts';
import type { Landscape } from './landscape.ts';
import { type Constraint, project } from './optimize.ts';

export type WalkMethod = 'ANNEALING' | 'BOLTZMANN';

/** A map on its way. */
interface Walker {
  readonly cells: Float64Array;
  readonly energy: number;
  /** Greatest move tried. */
  readonly stride: number;
}

export interface Walk {
  /** Coldest first. */
  readonly walkers: readonly Walker[];
  /** The best map met at the end of a sweep, the start included. */
  readonly best: { readonly cells: Float64Array; readonly energy: number };
  /** Temperature moves begin at: twice the mean rise of energy of the random moves at the start that do rise. */
  readonly hottest: number;
  readonly sweeps: number;
  /** Temperature of the coldest in the last sweep. */
  readonly temperature: number;
  /** Share of the moves of the last go that were made. */
  readonly acceptance: number;
}

/** Everything a walk needs to go on. */
export interface WalkPlan {
  readonly method: WalkMethod;
  /** Sweeps there will be, at least 1. */
  readonly sweeps: number;
  readonly landscape: Landscape;
  /** Energy of a map. */
  readonly energyOf: (cells: Float64Array) => number;
  readonly constraint: Constraint;
  /** Random numbers of a stream. */
  readonly randomOf: (stream: number) => Random;
  /** Deviation of a cell under the prior. */
  readonly spread: number;
}

/** Maps BOLTZMANN keeps. */
export const RUNGS = 8;
/** Temperature moves begin at, over the mean rise of energy of a random move at the start, of so many at least. */
const HOTTEST = 2;
const QUESTIONS_LEAST = 256;
/** Coldest temperature over the hottest. */
const COLDEST: Readonly<Record<WalkMethod, number>> = { ANNEALING: 1e-5, BOLTZMANN: 1e-3 };
/** Share of moves that strides are adapted to. */
const ACCEPTANCE = 0.4;
/** Stream of what the hottest temperature is measured with, past all sweeps. */
const MEASURING = 0xffffffff;

/** A walk before its first sweep. One sweep's worth of questions. */
export function beginWalk(plan: WalkPlan, start: Float64Array): Walk {
  const cells = project(start, plan.constraint);
  const energy = plan.energyOf(cells);
  const { landscape, spread } = plan;
  const random = plan.randomOf(MEASURING);
  landscape.place(cells.slice());
  let rises = 0;
  let count = 0;
  const questions = Math.max(QUESTIONS_LEAST, cells.length);
  for (let turn = 0; turn < questions; turn++) {
    const change = landscape.change(random.below(cells.length), spread * (2 * random.uniform() - 1));
    if (change > 0 && Number.isFinite(change)) {
      rises += change;
      count++;
    }
  }
  const hottest = count > 0 ? (HOTTEST * rises) / count : 1;
  const walker = { cells, energy, stride: spread };
  return {
    walkers: Array.from({ length: plan.method === 'ANNEALING' ? 1 : RUNGS }, () => walker),
    best: { cells, energy },
    hottest,
    sweeps: 0,
    temperature: hottest,
    acceptance: 0,
  };
}

/** At most `sweeps` sweeps more. A question a cell and walker each, and moves where they are made. */
export function goOn(plan: WalkPlan, walk: Walk, sweeps: number): Walk {
  let current = walk;
  let made = 0;
  let asked = 0;
  for (let i = 0; i < sweeps && current.sweeps < plan.sweeps; i++) {
    const random = plan.randomOf(current.sweeps);
    const heats = heatsOf(plan, current);
    let walkers = current.walkers.map((walker, rung) => {
      const { walker: next, accepted } = sweep(plan, walker, heats[rung]!, random);
      made += accepted;
      asked += walker.cells.length;
      return next;
    });
    walkers = trade(walkers, heats, random);
    const best = walkers.reduce((a, b) => (b.energy < a.energy ? b : a), current.best as Walker);
    current = {
      ...current,
      walkers,
      best: { cells: best.cells, energy: best.energy },
      sweeps: current.sweeps + 1,
      temperature: heats[0]!,
      acceptance: asked > 0 ? made / asked : 0,
    };
  }
  return current;
}

/** Temperature of each walker in the next sweep. */
function heatsOf({ method, sweeps }: WalkPlan, walk: Walk): number[] {
  const span = COLDEST[method];
  if (method === 'ANNEALING') return [walk.hottest * span ** (walk.sweeps / Math.max(1, sweeps - 1))];
  return Array.from({ length: RUNGS }, (_, rung) => walk.hottest * span ** (1 - rung / (RUNGS - 1)));
}

/** A move tried for as many cells as there are; with a total to keep, another cell moves the other way. */
function sweep(
  { landscape, constraint, energyOf }: WalkPlan,
  { cells: before, stride }: Walker,
  temperature: number,
  random: Random,
): { walker: Walker; accepted: number } {
  const cells = before.slice();
  landscape.place(cells);
  const fits = (value: number) => value >= constraint.lower && value <= constraint.upper;
  let accepted = 0;
  for (let turn = 0; turn < cells.length; turn++) {
    const at = random.below(cells.length);
    const by = stride * (2 * random.uniform() - 1);
    const other = constraint.total === undefined ? undefined : random.below(cells.length);
    const chance = random.exponential();
    if (other === at || !fits(cells[at]! + by)) continue;
    if (other === undefined) {
      if (!(landscape.change(at, by) <= temperature * chance)) continue;
      landscape.move(at, by);
    } else {
      if (!fits(cells[other]! - by)) continue;
      const first = landscape.change(at, by);
      landscape.move(at, by);
      if (!(first + landscape.change(other, -by) <= temperature * chance)) {
        landscape.move(at, -by);
        continue;
      }
      landscape.move(other, -by);
    }
    accepted++;
  }
  const share = accepted / cells.length;
  const walker = { cells, energy: energyOf(cells), stride: stride * Math.exp(share - ACCEPTANCE) };
  return { walker, accepted };
}

/** Neighbors trade maps as likely as keeps each temperature's density. */
function trade(walkers: readonly Walker[], heats: readonly number[], random: Random): Walker[] {
  const next = [...walkers];
  for (let rung = 0; rung + 1 < next.length; rung++) {
    const [cold, hot] = [next[rung]!, next[rung + 1]!];
    const gain = (1 / heats[rung]! - 1 / heats[rung + 1]!) * (hot.energy - cold.energy);
    if (!(gain <= random.exponential())) continue;
    // Strides belong to temperatures, not to maps.
    next[rung] = { ...hot, stride: cold.stride };
    next[rung + 1] = { ...cold, stride: hot.stride };
  }
  return next;
}
