/** A stream's configuration: its defaults, the rules across its fields, and the part of it the maps follow. */
import { create } from '@bufbuild/protobuf';
import { durationFromMs, durationMs } from '@bufbuild/protobuf/wkt';
import type { FieldViolation } from '../../errors.ts';
import {
  LayoutRule,
  MapMode,
  MetricTransform,
  Seasonality,
  type StreamConfig,
  StreamConfigSchema,
} from '../../gen/homeostat/energy/v1/energy_service_pb.ts';
import { Boundary } from '../../gen/homeostat/type/v1/grid_pb.ts';
import { regimeSettings } from '../regime/regime-message.ts';
import type { MapSettings, ModeChoice } from './energy-map.ts';
import type { LayoutKind } from './layout.ts';
import { boundaryRule } from './map-input.ts';
import type { Transform } from './sample.ts';

/** What a stream has where its configuration sets nothing, ms. */
export interface StreamDefaults {
  readonly windowMs: number;
  readonly latenessMs: number;
  readonly halfLifeMs: number;
}

const MODES: Readonly<Record<MapMode, ModeChoice>> = {
  [MapMode.UNSPECIFIED]: 'AUTO',
  [MapMode.PHYSICAL]: 'PHYSICAL',
  [MapMode.STATISTICAL]: 'STATISTICAL',
};

const TRANSFORMS: Readonly<Record<MetricTransform, Transform>> = {
  [MetricTransform.UNSPECIFIED]: 'DEFAULT',
  [MetricTransform.NONE]: 'NONE',
  [MetricTransform.LOG1P]: 'LOG1P',
  [MetricTransform.RATE]: 'RATE',
  [MetricTransform.LOGIT]: 'LOGIT',
};

const LAYOUTS: Readonly<Record<LayoutRule, LayoutKind>> = {
  [LayoutRule.UNSPECIFIED]: 'DECLARED',
  [LayoutRule.DECLARED]: 'DECLARED',
  [LayoutRule.AUTO]: 'AUTO',
};

/** The configuration with its defaults filled in. An unset mode or transform is itself a choice and stays. */
export function withDefaults(config: StreamConfig, defaults: StreamDefaults): StreamConfig {
  const regime = regimeSettings(config);
  return create(StreamConfigSchema, {
    ...config,
    width: config.width ?? durationFromMs(defaults.windowMs),
    lateness: config.lateness ?? durationFromMs(defaults.latenessMs),
    halfLife: config.halfLife ?? durationFromMs(defaults.halfLifeMs),
    boundary: config.boundary || Boundary.NEUMANN,
    regimeWindows: regime.windows,
    falseAlarmWindows: regime.falseAlarmWindows,
    layout: config.layout || LayoutRule.DECLARED,
    seasonality: config.seasonality || Seasonality.HOUR_OF_DAY,
  });
}

/** The part the maps follow. */
export function mapSettings(config: StreamConfig, defaults: StreamDefaults): MapSettings {
  return {
    mode: MODES[config.mode] ?? 'AUTO',
    metrics: config.metrics.map(({ name, transform }) => ({
      name,
      transform: TRANSFORMS[transform] ?? 'DEFAULT',
    })),
    halfLifeMs: config.halfLife ? durationMs(config.halfLife) : defaults.halfLifeMs,
    boundary: boundaryRule(config.boundary),
    layout: LAYOUTS[config.layout] ?? 'DECLARED',
  };
}

/** Rules the fields cannot state alone. */
export function configViolations(config: StreamConfig): FieldViolation[] {
  const violations: FieldViolation[] = [];
  const names = new Set<string>();
  config.metrics.forEach(({ name }, at) => {
    if (names.has(name)) {
      const description = 'names a metric that stands before';
      violations.push({ field: `config.metrics[${at}].name`, description });
    }
    names.add(name);
  });
  for (const [field, duration] of Object.entries({ width: config.width, lateness: config.lateness })) {
    if (duration && duration.nanos % 1_000_000 !== 0)
      violations.push({ field: `config.${field}`, description: 'must be whole milliseconds' });
  }
  return violations;
}
