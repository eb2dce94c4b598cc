/** Regimes in the words of the contract, and the part of a stream's configuration they follow. */
import type { MessageInitShape } from '@bufbuild/protobuf';
import {
  RegimeBasis as Basis,
  Regime,
  type RegimeProbabilitySchema,
  type StreamConfig,
} from '../../gen/homeostat/energy/v1/energy_service_pb.ts';
import { REGIMES, type RegimeBasis, type RegimeName } from './regime.ts';
import { REGIME_DEFAULTS, type RegimeSettings } from './regime-tracker.ts';

const PROTO: Readonly<Record<RegimeName, Regime>> = {
  EQUILIBRIUM: Regime.EQUILIBRIUM,
  TRANSITION: Regime.TRANSITION,
  CRITICAL: Regime.CRITICAL,
  CHAOTIC: Regime.CHAOTIC,
  WARMING_UP: Regime.WARMING_UP,
};

const BASES: Readonly<Record<RegimeBasis, Basis>> = {
  SPATIAL: Basis.SPATIAL,
  SERIES: Basis.SERIES,
  STREAM: Basis.STREAM,
};

export function regimeToProto(regime: RegimeName): Regime {
  return PROTO[regime];
}

/** The regime named by a contract; undefined for one that is not. */
export function regimeFromProto(regime: Regime): RegimeName | undefined {
  return REGIMES.find((name) => PROTO[name] === regime);
}

export function basisToProto(basis: RegimeBasis): Basis {
  return BASES[basis];
}

/** All five, in the order of REGIMES. */
export function posteriorToProto(
  posterior: readonly number[],
): MessageInitShape<typeof RegimeProbabilitySchema>[] {
  return REGIMES.map((name, at) => ({ regime: PROTO[name], probability: posterior[at]! }));
}

export function regimeSettings({ regimeWindows, falseAlarmWindows }: StreamConfig): RegimeSettings {
  return {
    windows: regimeWindows ?? REGIME_DEFAULTS.windows,
    falseAlarmWindows: falseAlarmWindows ?? REGIME_DEFAULTS.falseAlarmWindows,
  };
}
