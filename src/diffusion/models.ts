/**
 * The models of this context as an inference server names them: typed tensors in and out, and what turns the one into the
 * other. A table; who serves it is another matter. Cells are row-major.
 */
import type { PriorStore } from './store.ts';
import type { Workers } from './worker.ts';

/** What a tensor is; -1 in its shape is any length. */
export interface TensorType {
  readonly name: string;
  readonly datatype: 'FP32' | 'FP64';
  readonly shape: readonly number[];
}

export interface Tensor extends TensorType {
  readonly data: Float32Array | Float64Array;
}

export interface Model {
  readonly name: string;
  readonly version: string;
  readonly inputs: readonly TensorType[];
  readonly outputs: readonly TensorType[];
  /** Tensors in the order of `outputs` from those in the order of `inputs`. Throws RangeError for others. */
  infer(inputs: readonly Tensor[], signal: AbortSignal): Promise<readonly Tensor[]>;
}

export interface ModelDeps {
  readonly priors: Pick<PriorStore, 'list' | 'load'>;
  readonly workers: Pick<Workers, 'predict'>;
}

/** Priors that are shown, the newest. */
const LISTED = 100;
const SIDE_MAX = 1024;

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
      for (const [at, type] of inputs.entries()) refuseOther(type, given[at]);
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

function refuseOther(type: TensorType, given: Tensor | undefined): void {
  const fits =
    given?.datatype === type.datatype &&
    given.shape.length === type.shape.length &&
    given.shape.every(
      (length, axis) =>
        length === type.shape[axis] || (type.shape[axis] === -1 && length >= 1 && length <= SIDE_MAX),
    ) &&
    given.data.length === given.shape.reduce((a, b) => a * b, 1) &&
    given.data.every(Number.isFinite);
  if (!fits)
    throw new RangeError(`tensor ${type.name} must be finite ${type.datatype} of ${type.shape.join(' x ')}`);
}
