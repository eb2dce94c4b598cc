/** The numbers that fields of the contract can hold, and the steps between them. */
import { type DescField, ScalarType } from '@bufbuild/protobuf';
import type { Duration } from '@bufbuild/protobuf/wkt';

export interface Scale {
  /** Whether NaN and the infinities are among them. */
  readonly isFloating: boolean;
  readonly greatest: number;
  holds(value: number): boolean;
  /** The next number. */
  above(value: number): number;
  below(value: number): number;
  /** A number as the field holds it. */
  from(value: number): unknown;
}

/** Of numbers, and of durations in seconds; undefined for any other field. */
export function scaleOf({ message, scalar }: DescField): Scale | undefined {
  if (message?.typeName === 'google.protobuf.Duration') return DURATION;
  if (scalar === ScalarType.DOUBLE) return floating(64);
  if (scalar === ScalarType.FLOAT) return floating(32);
  return scalar && INTEGERS[scalar];
}

const FLOAT32_MAX = (2 - 2 ** -23) * 2 ** 127;
const DURATION_STEP_SECONDS = 1e-3;
const DURATION: Scale = {
  isFloating: false,
  greatest: 315_576_000_000,
  holds: () => true,
  above: (value) => value + DURATION_STEP_SECONDS,
  below: (value) => value - DURATION_STEP_SECONDS,
  from(value): Duration {
    const seconds = Math.floor(value);
    const nanos = Math.round((value - seconds) * 1e9);
    return { $typeName: 'google.protobuf.Duration', seconds: BigInt(seconds), nanos };
  },
};

function floating(bits: 32 | 64): Scale {
  return {
    isFloating: true,
    greatest: bits === 64 ? Number.MAX_VALUE : FLOAT32_MAX,
    holds: () => true,
    above: (value) => neighbor(value, bits, 1),
    below: (value) => neighbor(value, bits, -1),
    from: (value) => value,
  };
}

function integers(least: number, greatest: number, from: Scale['from']): Scale {
  return {
    isFloating: false,
    greatest,
    holds: (value) => value >= least && value <= greatest,
    above: (value) => value + 1,
    below: (value) => value - 1,
    from,
  };
}

const SIGNED = integers(-(2 ** 31), 2 ** 31 - 1, (value) => value);
const UNSIGNED = integers(0, 2 ** 32 - 1, (value) => value);
const SIGNED_LONG = integers(-(2 ** 63), 2 ** 63 - 1024, BigInt);
const UNSIGNED_LONG = integers(0, 2 ** 64 - 2048, BigInt);
const INTEGERS: Partial<Record<ScalarType, Scale>> = {
  [ScalarType.INT32]: SIGNED,
  [ScalarType.SINT32]: SIGNED,
  [ScalarType.SFIXED32]: SIGNED,
  [ScalarType.UINT32]: UNSIGNED,
  [ScalarType.FIXED32]: UNSIGNED,
  [ScalarType.INT64]: SIGNED_LONG,
  [ScalarType.SINT64]: SIGNED_LONG,
  [ScalarType.SFIXED64]: SIGNED_LONG,
  [ScalarType.UINT64]: UNSIGNED_LONG,
  [ScalarType.FIXED64]: UNSIGNED_LONG,
};

/** The next floating-point number of so many bits. */
function neighbor(value: number, bits: 32 | 64, direction: 1 | -1): number {
  if (!Number.isFinite(value)) return value;
  if (value === 0) return direction * (bits === 64 ? Number.MIN_VALUE : 2 ** -149);
  const floats = bits === 64 ? new Float64Array([value]) : new Float32Array([value]);
  const patterns = bits === 64 ? new BigInt64Array(floats.buffer) : new Int32Array(floats.buffer);
  const away = direction > 0 === value > 0;
  if (patterns instanceof BigInt64Array) patterns[0]! += away ? 1n : -1n;
  else patterns[0]! += away ? 1 : -1;
  return floats[0]!;
}
