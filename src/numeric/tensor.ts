/**
 * Models as an inference server names them: typed tensors in and out, and what turns the one into the other. Data are
 * row-major.
 */

/** What a tensor is; -1 in its shape is any length from 1 to 1,024. */
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

const LENGTH_MAX = 1024;

/** Throws RangeError unless the tensor is there, finite and of the type. */
export function refuseOtherTensor(type: TensorType, given: Tensor | undefined): void {
  const fits =
    given?.datatype === type.datatype &&
    given.shape.length === type.shape.length &&
    given.shape.every(
      (length, axis) =>
        length === type.shape[axis] || (type.shape[axis] === -1 && length >= 1 && length <= LENGTH_MAX),
    ) &&
    given.data.length === given.shape.reduce((a, b) => a * b, 1) &&
    given.data.every(Number.isFinite);
  if (!fits)
    throw new RangeError(`tensor ${type.name} must be finite ${type.datatype} of ${type.shape.join(' x ')}`);
}
