/**
 * Energies of a request, sorted by what can be done with them: quadratic ones are exact, quartics add up to one, spectra
 * stand alone.
 */
import type { FieldViolation } from '../../errors.ts';
import type { Guidance } from '../../gen/homeostat/diffusion/v1/diffusion_service_pb.ts';
import { type GivenGrid, readGrid } from '../../numeric/given-grid.ts';
import type { Functional, Guide } from './guidance.ts';
import type { Quartic, TargetSpectrum } from './residual.ts';

export interface Energies {
  readonly guides: readonly Guide[];
  /** Undefined where no energy has one. */
  readonly quartic: Quartic | undefined;
  readonly spectra: readonly TargetSpectrum[];
  /** Maps given as targets, whose shape must be that of the maps in question. */
  readonly targets: readonly GivenGrid[];
}

/** Reads energies, weights included; what cannot be read adds violations below `path`. */
export function readEnergies(
  guidance: readonly Guidance[],
  path: string,
  violations: FieldViolation[],
): Energies {
  const total = { mass: 0, quartic: 0 };
  const guides: Guide[] = [];
  const spectra: TargetSpectrum[] = [];
  const targets: GivenGrid[] = [];
  for (const [index, one] of guidance.entries()) {
    const { weight = 1, functional: energy } = one;
    const functional = readFunctional(one, `${path}[${index}]`, violations, targets);
    if (functional) guides.push({ functional, weight });
    if (energy.case === 'ginzburgLandau' && energy.value.quartic > 0) {
      total.mass += weight * energy.value.mass;
      total.quartic += weight * energy.value.quartic;
    }
    if (energy.case === 'targetSpectrum')
      spectra.push({ stiffness: weight * (energy.value.stiffness ?? 1), powers: energy.value.powers });
  }
  return { guides, quartic: total.quartic > 0 ? total : undefined, spectra, targets };
}

/** What of an energy is quadratic; undefined where nothing is. */
function readFunctional(
  { functional }: Guidance,
  path: string,
  violations: FieldViolation[],
  targets: GivenGrid[],
): Functional | undefined {
  switch (functional.case) {
    case 'quadratic': {
      const stiffness = functional.value.stiffness ?? 1;
      if (functional.value.target === undefined) return { kind: 'QUADRATIC', stiffness };
      const target = readGrid(functional.value.target, `${path}.quadratic.target`, violations);
      if (target === undefined) return undefined;
      targets.push(target);
      return { kind: 'QUADRATIC', stiffness, target: new Float64Array(target.cells) };
    }
    case 'ginzburgLandau': {
      // Beside a quartic the mass may be negative, so it goes with it.
      const { tension, mass, quartic } = functional.value;
      return { kind: 'GRADIENT', tension, mass: quartic > 0 ? 0 : mass };
    }
    case 'totalEnergy': {
      const { total, stiffness, cellArea } = functional.value;
      return { kind: 'TOTAL_ENERGY', stiffness, total, cellArea: cellArea ?? 1 };
    }
    case 'targetSpectrum':
      return undefined;
    default:
      violations.push({ field: path, description: 'must name an energy' });
      return undefined;
  }
}
