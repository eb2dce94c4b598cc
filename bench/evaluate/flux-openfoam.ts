/**
 * A steady flow around an obstacle, conserved cell by cell (OpenFOAM, in mathLab's Smithers): the proof that what flows
 * into each cell flows out again holds as given, and fails when the flux through one face is altered by 1 %.
 */
import { join } from 'node:path';
import { judged } from '../../src/energy/proof/check.ts';
import { createInstruments, measureSteps } from '../../src/energy/proof/measure.ts';
import { conclude } from '../../src/energy/proof/proof.ts';
import { runThrough } from '../../src/numeric/slices.ts';
import { DataError } from './data-error.ts';
import { loadArray } from './data-set.ts';
import type { EvaluationSet, Figure } from './figure.ts';

/** Cells in their order as a map: the mesh has no grid of its own. */
const ROWS = 240;
const COLS = 300;
const ALTERED = 1.01;

export const fluxOpenfoam: EvaluationSet = {
  name: 'flux_openfoam',
  measures: 'a conserved flow proved, and refuted with one face altered by 1 %',
  async *run(folder) {
    const owner = loadArray(join(folder, 'owner'), 1).values;
    const neighbor = Int32Array.from(loadArray(join(folder, 'neighbour'), 1).values);
    const path = join(folder, 't1088_phi');
    const flux = Float64Array.from(loadArray(path, 1).values);
    if (flux.length !== owner.length)
      throw new DataError(path, 'must have as many faces as there are owners');
    const mesh = { owner, neighbor };
    yield verdictFigure('verified as given', prove(mesh, flux) === 'VERIFIED');
    const largest = neighbor.reduce(
      (best, _, face) => (Math.abs(flux[face]!) > Math.abs(flux[best]!) ? face : best),
      0,
    );
    flux[largest] = flux[largest]! * ALTERED;
    yield verdictFigure(
      'refuted with the largest inner flux altered by 1 %',
      prove(mesh, flux) === 'REFUTED',
    );
  },
};

interface Mesh {
  /** Cell on one side of each face; on the other of inner ones, which come first. */
  readonly owner: ArrayLike<number>;
  readonly neighbor: ArrayLike<number>;
}

/** The verdict on the prediction that as much leaves each cell as enters it, while nothing in it changes. */
function prove({ owner, neighbor }: Mesh, flux: Float64Array): string {
  const inflow = new Float64Array(ROWS * COLS);
  const outflow = new Float64Array(ROWS * COLS);
  const pass = (cell: number, amount: number) => {
    const side = amount > 0 ? outflow : inflow;
    side[cell] = side[cell]! + Math.abs(amount);
  };
  for (let face = 0; face < flux.length; face++) {
    pass(owner[face]!, flux[face]!);
    if (face < neighbor.length) pass(neighbor[face]!, -flux[face]!);
  }
  const observed = {
    ...{ rows: ROWS, cols: COLS, cells: outflow, observed: undefined },
    ...{ cellArea: 1, spacing: 1, boundary: 'NEUMANN' as const },
  };
  const budget = {
    ...{ before: outflow, rule: 'CONSERVATIVE' as const, dt: 1, sources: 0, sinks: 0 },
    ...{ boundaryFlux: undefined, flows: { inflow, outflow } },
  };
  const { checks } = runThrough(measureSteps({ observed, predicted: inflow, budget }, createInstruments()));
  const provenance = judged('PROVENANCE', { value: 0, detail: '' });
  return conclude('PREDICTION', [...checks, provenance]).verdict;
}

function verdictFigure(metric: string, holds: boolean): Figure {
  return { metric, ours: holds ? 1 : 0, baselines: {}, target: 1, better: 'HIGHER' };
}
