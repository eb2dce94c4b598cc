/** Maps, states and explanations in the words of the contract. */
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import {
  type EnergyMap,
  EnergyMapSchema,
  EntropyUnit,
  MapMode,
  type NodeExplanationSchema,
  type StateSchema,
} from '../../gen/homeostat/energy/v1/energy_service_pb.ts';
import { type Grid, GridSchema, NegativePolicy } from '../../gen/homeostat/type/v1/grid_pb.ts';
import { bitsFromMask, floatsOf, type GridEncoding, maskFromBits } from '../../numeric/given-grid.ts';
import type { RegimeJudgement } from '../regime/regime.ts';
import { posteriorToProto, regimeToProto } from '../regime/regime-message.ts';
import type { StreamName } from '../stream/stream-name.ts';
import type { MappedWindow, Mode } from './energy-map.ts';
import type { ExplainedNode, Explanation } from './explanation.ts';
import type { Levels } from './levels.ts';
import type { MapState } from './state.ts';

/** A map with the regime judged of it. */
export interface JudgedWindow extends MappedWindow {
  readonly regime: RegimeJudgement;
}

const MODES: Readonly<Record<Mode, MapMode>> = {
  PHYSICAL: MapMode.PHYSICAL,
  STATISTICAL: MapMode.STATISTICAL,
};

export function modeToProto(mode: Mode): MapMode {
  return MODES[mode];
}

/** A grid of cells; they are rounded to float32. The memory of float32 cells may be the grid's from here on. */
export function gridToProto(
  cells: Float32Array | Float64Array,
  rows: number,
  cols: number,
  encoding: GridEncoding,
): Grid {
  if (encoding === 'VALUES') return create(GridSchema, { rows, cols, values: Array.from(cells) });
  const { buffer, byteOffset, byteLength } = cells instanceof Float32Array ? cells : new Float32Array(cells);
  return create(GridSchema, { rows, cols, rawValues: new Uint8Array(buffer, byteOffset, byteLength) });
}

/** Cells of a grid the server wrote itself. */
export function gridCells(grid: Grid): Float32Array {
  if (grid.rawValues.length > 0) return floatsOf(grid.rawValues);
  return new Float32Array(grid.values);
}

export function stateToProto(
  state: MapState,
  unit: EntropyUnit,
  policy: NegativePolicy,
): MessageInitShape<typeof StateSchema> {
  const perUnit = unit === EntropyUnit.BITS ? 1 / Math.LN2 : 1;
  const { totals, boltzmann, valueEntropy } = state;
  const { spatialEntropy, count } = totals;
  return {
    positive: totals.positive,
    negative: totals.negative,
    net: totals.net,
    absolute: totals.absolute,
    mean: state.mean,
    variance: state.variance,
    min: totals.min,
    max: totals.max,
    observedCount: count,
    ...(spatialEntropy !== undefined && {
      spatialEntropy: spatialEntropy * perUnit,
      ...(count > 1 && { spatialEntropyRatio: Math.min(1, spatialEntropy / Math.log(count)) }),
    }),
    ...(valueEntropy !== undefined && {
      valueEntropy: valueEntropy * perUnit,
      valueEntropyRatio: Math.min(1, valueEntropy / Math.log(state.bins)),
    }),
    entropyUnit: unit || EntropyUnit.NATS,
    negativePolicy: policy || NegativePolicy.SIGNED,
    ...(boltzmann && { boltzmann: { ...boltzmann, entropy: boltzmann.entropy * perUnit } }),
    gradientMean: state.gradientMean,
    gradientMax: state.gradientMax,
  };
}

/** A map at level 0, nodes included, its grid in `encoding`. */
export function mapToProto(stream: StreamName, map: JudgedWindow, encoding: GridEncoding): EnergyMap {
  const { layout } = map;
  return create(EnergyMapSchema, {
    stream: { ...stream },
    start: timestampFromMs(map.startMs),
    end: timestampFromMs(map.endMs),
    grid: gridToProto(map.cells, layout.rows, layout.cols, encoding),
    observed: bitsFromMask(map.observed),
    nodes: [...layout.cells],
    mode: MODES[map.mode],
    unit: map.mode === 'PHYSICAL' ? 'J' : '1',
    state: stateToProto(map.state, EntropyUnit.NATS, NegativePolicy.SIGNED),
    regime: regimeToProto(map.regime.label),
    posterior: posteriorToProto(map.regime.posterior),
    layoutVersion: layout.version,
    digest: map.digest,
    ...(map.surprise !== undefined && { surprise: map.surprise }),
    ...(map.score !== undefined && { score: map.score }),
    layoutConflict: layout.conflict,
  });
}

/** The map at a coarser level, or itself at level 0: block sums of its observed cells, nodes left out. */
export function coarsened(map: EnergyMap, level: number, levels: Levels): EnergyMap {
  if (level === 0 || map.grid === undefined) return map;
  const { rows, cols } = map.grid;
  const observed = maskFromBits(map.observed, rows * cols);
  const coarse = levels.coarser({ rows, cols, cells: gridCells(map.grid), observed }, level);
  const encoding = map.grid.rawValues.length > 0 ? 'RAW' : 'VALUES';
  const grid = gridToProto(coarse.cells, coarse.rows, coarse.cols, encoding);
  return create(EnergyMapSchema, { ...map, grid, observed: bitsFromMask(coarse.observed), nodes: [], level });
}

/** Room for what has a size of its own in a map: its times, state, regime and digest, bytes. */
const MAP_BYTES_BASE = 1024;

/** Bytes a map takes in a reply, at most. */
export function mapBytes({ grid, observed, nodes }: EnergyMap): number {
  const names = nodes.reduce((sum, name) => sum + name.length + 2, 0);
  return (
    MAP_BYTES_BASE + 4 * (grid?.values.length ?? 0) + (grid?.rawValues.length ?? 0) + observed.length + names
  );
}

export function explainedToProto(node: ExplainedNode): MessageInitShape<typeof NodeExplanationSchema> {
  return { ...node, metrics: node.metrics.map((metric) => ({ ...metric })) };
}

/** Room for the numbers and tags of an explained node and of one of its metrics, bytes. */
const NODE_BYTES = 48;
const METRIC_BYTES = 48;

/** Bytes all nodes of an explanation take in a reply, at most, each with at most `top` metrics. */
export function explanationBytes({ nodes, offsets, metricNames }: Explanation, top: number): number {
  const longest = metricNames.reduce((most, name) => Math.max(most, Buffer.byteLength(name)), 0);
  return nodes.reduce((sum, node, at) => {
    const metrics = Math.min(top, offsets[at + 1]! - offsets[at]!);
    return sum + NODE_BYTES + Buffer.byteLength(node) + metrics * (METRIC_BYTES + longest);
  }, 0);
}
