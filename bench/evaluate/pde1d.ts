/**
 * Two equations solved to high precision (M. Raissi's PINNs): what Korteweg-de Vries keeps passes as kept at every step,
 * and the energy that Burgers' shock loses is not let pass as kept. The budgets are those of CheckConservation.
 */
import { join } from 'node:path';
import { type BudgetRule, checkBudget } from '../../src/energy/map/budget.ts';
import { type Totals, totalsSteps } from '../../src/energy/map/state.ts';
import { createStatePlans } from '../../src/energy/map/state-plan.ts';
import { runThrough } from '../../src/numeric/slices.ts';
import { loadArray } from './data-set.ts';
import { atMost } from './field-forecast.ts';
import type { EvaluationSet } from './figure.ts';
import { numberAt, objectAt } from './json-members.ts';

/** The default of CheckConservation. */
const TOLERANCE = 1e-3;

export const pde1d: EvaluationSet = {
  name: 'pde1d',
  measures: 'conserved quantities of two equations told from one that is lost',
  async *run(folder) {
    const kdv = readSolution(join(folder, 'kdv'));
    const burgers = readSolution(join(folder, 'burgers_shock'));
    const ofField = (u: number) => u;
    const ofEnergy = (u: number) => u * u;
    const steps = kdv.length - 1;
    yield atMost(`KdV: integral of u not kept, steps of ${steps}`, broken(kdv, ofField, 'DRIVEN'), 0);
    yield atMost(`KdV: integral of u^2 not kept, steps of ${steps}`, broken(kdv, ofEnergy, 'DRIVEN'), 0);
    const lost = [burgers[0]!, burgers.at(-1)!];
    const refuted = broken(lost, ofEnergy, 'DRIVEN');
    yield {
      metric: 'Burgers: claims that the integral of u^2 is kept refuted, of 1',
      ...{ ours: refuted, baselines: {}, target: 1, better: 'HIGHER' },
    };
    yield atMost(
      `Burgers: integral of u^2 grows, steps of ${burgers.length - 1}`,
      broken(burgers, ofEnergy, 'DISSIPATIVE'),
      0,
    );
  },
};

interface Line {
  readonly values: Float64Array;
  readonly spacing: number;
}

function readSolution(stem: string): readonly Line[] {
  const { values, shape, sidecar } = loadArray(stem, 2);
  const [steps, cells] = [shape[0]!, shape[1]!];
  const axis = objectAt(sidecar, 'x', `${stem}.json`);
  const length = numberAt(axis, 'last', `${stem}.json`) - numberAt(axis, 'first', `${stem}.json`);
  return Array.from({ length: steps }, (_, step) => ({
    values: Float64Array.from(values.subarray(step * cells, (step + 1) * cells)),
    spacing: length / (cells - 1),
  }));
}

/** How many maps after the first do not keep its total. */
function broken(lines: readonly Line[], of: (u: number) => number, rule: BudgetRule): number {
  const plans = createStatePlans(1);
  const totalsOf = ({ values, spacing }: Line): Totals =>
    runThrough(
      totalsSteps(
        {
          ...{ rows: 1, cols: values.length, cells: values.map(of), observed: undefined },
          ...{ cellArea: spacing, spacing, boundary: 'PERIODIC' },
        },
        plans,
      ),
    );
  const budget = { rule, dt: 1, netPower: 0, absoluteTolerance: 0, relativeTolerance: TOLERANCE };
  let count = 0;
  let before = totalsOf(lines[0]!);
  const first = before;
  for (const line of lines.slice(1)) {
    const after = totalsOf(line);
    // What is kept is that of the first map; what may only be lost, that of the map before.
    if (!checkBudget(rule === 'DISSIPATIVE' ? before : first, after, budget).passed) count++;
    before = after;
  }
  return count;
}
