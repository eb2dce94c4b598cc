/** The models of this context as an inference server names them. A table; who serves it is another matter. */
import { type Model, refuseOtherTensor, type Tensor } from '../numeric/tensor.ts';
import type { PriorStore } from './store.ts';
import type { Workers } from './worker.ts';

export interface ModelDeps {
  readonly priors: Pick<PriorStore, 'list' | 'load'>;
  readonly workers: Pick<Workers, 'predict'>;
}

/** Priors that are shown, the newest. */
const LISTED = 100;

/** Noise predictors: that of the STANDARD prior, of any shape, and one of each of the newest 100 priors. */
export async function listModels(deps: ModelDeps): Promise<readonly Model[]> {
  const standard = modelOf(deps, {
    name: 'diffusion.standard',
    version: '1',
    rows: -1,
    cols: -1,
    priorId: '',
  });
  const priors = await deps.priors.list(undefined, LISTED);
  return [
    standard,
    ...priors.map(({ priorId, version, rows, cols }) =>
      modelOf(deps, { name: `diffusion.prior.${priorId}`, version: String(version), rows, cols, priorId }),
    ),
  ];
}

interface Named {
  readonly name: string;
  readonly version: string;
  readonly rows: number;
  readonly cols: number;
  /** Empty for STANDARD. */
  readonly priorId: string;
}

function modelOf({ priors, workers }: ModelDeps, { name, version, rows, cols, priorId }: Named): Model {
  const cells = (of: string) => ({ name: of, datatype: 'FP32', shape: [rows, cols] }) as const;
  const inputs = [cells('x'), { name: 'level', datatype: 'FP64', shape: [1] } as const];
  return {
    name,
    version,
    inputs,
    outputs: [cells('epsilon')],
    async infer(given, signal) {
      for (const [at, type] of inputs.entries()) refuseOtherTensor(type, given[at]);
      const [x, { data: level }] = given as [Tensor, Tensor];
      if (!(level[0]! > 0 && level[0]! < 1)) throw new RangeError(`a level of ${level[0]}`);
      const stored = priorId === '' ? undefined : await priors.load(priorId);
      if (priorId !== '' && stored === undefined)
        throw new RangeError(`there is no prior ${priorId} any more`);
      const [down, along] = x.shape as [number, number];
      const place = { rows: down, cols: along, prior: stored?.prior };
      const data = await workers.predict(place, new Float32Array(x.data), level[0]!, signal);
      return [{ ...cells('epsilon'), shape: x.shape, data }];
    },
  };
}
