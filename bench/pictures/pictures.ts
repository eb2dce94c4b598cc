/** The five pictures: what is asked of the server for each, and how the answer is drawn. */
import { timestampMs } from '@bufbuild/protobuf/wkt';
import type { Clients } from '../../src/client/client.ts';
import { MeanSource } from '../../src/gen/homeostat/diffusion/v1/diffusion_service_pb.ts';
import {
  type EnergyMap,
  type PredictResponse,
  Regime,
} from '../../src/gen/homeostat/energy/v1/energy_service_pb.ts';
import { Boundary } from '../../src/gen/homeostat/type/v1/grid_pb.ts';
import { createRandom } from '../../src/random.ts';
import {
  axes,
  band,
  cells,
  type Field,
  type Frame,
  INKS,
  line,
  picture,
  rangeOf,
  scale,
  text,
} from './drawing.ts';

export interface Asked {
  readonly clients: Clients;
  readonly stream: { readonly domain: string; readonly cluster: string };
}

/** Windows ahead in the pictures of the future. */
const AHEAD = 16;
/** Windows of the past beside a forecast. */
const BEHIND = 48;
const COVERAGE = 0.9;
/** Size of a drawn cell, px. */
const CELL = 12;
const GAP = 24;
const TOP = 28;

/** The newest map with its state. */
export async function drawMap({ clients, stream }: Asked): Promise<string> {
  const map = (await clients.energy.getMap({ stream })).map!;
  const state = map.state!;
  const frame = frameAt(map.grid!, 0, 2 * CELL);
  const range = rangeOf(map.grid!.values);
  const words = [
    `total ${(state.net / 1000).toFixed(1)} kJ`,
    `mean ${state.mean.toFixed(0)} J`,
    `deviation ${Math.sqrt(state.variance).toFixed(0)} J`,
    `spatial entropy ${state.spatialEntropy!.toFixed(4)} nats`,
    `(${(100 * state.spatialEntropyRatio!).toFixed(2)} % of its maximum)`,
    `mean slope ${state.gradientMean.toFixed(1)} J a cell`,
    `free energy ${state.boltzmann!.freeEnergy.toFixed(0)} J`,
  ];
  return picture(frame.width + 320, frame.height + TOP + GAP, 'An energy map and its state', [
    text(frame.x, TOP - 9, 'Energy of each node over 10 s'),
    cells(frame, map.grid!, range),
    legend({ x: frame.x + frame.width + 12, y: frame.y, width: 10, height: frame.height }, range, 'J'),
    ...words.map((word, at) => text(frame.x + frame.width + 80, frame.y + 14 + 18 * at, word)),
  ]);
}

/** A forecast beside what came, and the past and future of two nodes with the interval. */
export async function drawForecast(
  { clients, stream }: Asked,
  future: readonly Float64Array[],
): Promise<string> {
  const past = await newestMaps(clients, stream, BEHIND);
  const now = past.at(-1)!.grid!;
  const answers = await Promise.all(
    Array.from({ length: AHEAD }, (_, at) =>
      clients.energy.predict({ stream, steps: at + 1, coverage: COVERAGE }),
    ),
  );
  const told = answers[AHEAD - 1]!;
  const came: Field = { rows: now.rows, cols: now.cols, values: future[AHEAD - 1]! };
  const range = rangeOf(now.values, came.values, told.prediction!.values);
  const maps = [
    { field: now, caption: 'now' },
    { field: told.prediction!, caption: `forecast, ${AHEAD} windows ahead` },
    { field: came, caption: 'what came' },
  ].map(({ field, caption }, at) => {
    const frame = frameAt(field, at);
    return text(frame.x, TOP - 9, caption) + cells(frame, field, range);
  });

  const inside = answers.map(({ lower, upper }, at) => {
    const held = Array.from(future[at]!, (value, cell) =>
      value >= lower!.values[cell]! && value <= upper!.values[cell]! ? 1 : 0,
    );
    return held.reduce<number>((sum, one) => sum + one, 0) / held.length;
  });
  const share = (100 * inside.reduce((sum, one) => sum + one, 0)) / inside.length;
  const last = frameAt(now, 2);
  const nodes = [
    Math.floor(now.rows / 4) * now.cols + Math.floor(now.cols / 4),
    Math.floor(now.rows / 2) * now.cols + Math.floor(now.cols / 2),
  ];
  const charts = nodes.map((node, nth) => {
    const frame: Frame = {
      x: 60,
      y: TOP + last.height + 50 + nth * 170,
      width: last.x + last.width - 60,
      height: 130,
    };
    const history = past.map(({ grid }) => grid!.values[node]!);
    const truth = future.slice(0, AHEAD).map((values) => values[node]!);
    return drawSeries(frame, `node ${node}, J`, history, answers, truth, node);
  });
  const bottom = TOP + last.height + 50 + nodes.length * 170;
  return picture(last.x + last.width + GAP, bottom + GAP, 'A forecast and what came', [
    ...maps,
    ...charts.flat(),
    text(
      60,
      bottom,
      `forecast with its ${100 * COVERAGE} % interval, and (dashed) what came; of all nodes and horizons ${share.toFixed(0)} % came inside`,
    ),
  ]);
}

/** One node's past, its forecast with the interval, and what came. */
function drawSeries(
  frame: Frame,
  caption: string,
  history: readonly number[],
  answers: readonly PredictResponse[],
  truth: readonly number[],
  node: number,
): readonly string[] {
  const [lower, middle, upper] = (['lower', 'prediction', 'upper'] as const).map((part) =>
    answers.map((answer) => answer[part]!.values[node]!),
  );
  const span = rangeOf(history, lower!, upper!, truth);
  const x = scale([1 - history.length, truth.length], [frame.x, frame.x + frame.width]);
  const y = scale(span, [frame.y + frame.height, frame.y]);
  const behind = history.map((_, at) => x(at + 1 - history.length));
  const ahead = truth.map((_, at) => x(at + 1));
  return [
    axes(frame, span, caption),
    band(ahead, lower!.map(y), upper!.map(y), INKS.orange),
    line(behind, history.map(y), INKS.black),
    line(ahead, middle!.map(y), INKS.red),
    line([behind.at(-1)!, ...ahead], [history.at(-1)!, ...truth].map(y), INKS.blue, true),
  ];
}

/** Maps drawn from what may come: the forecast, and the errors that forecasts of past maps made. */
export async function drawFutures(
  { clients, stream }: Asked,
  future: readonly Float64Array[],
): Promise<string> {
  const past = await newestMaps(clients, stream, BEHIND + AHEAD);
  const told = (await clients.energy.predict({ stream, steps: AHEAD })).prediction!;
  const maps = [];
  for (let at = 0; at + AHEAD < past.length; at++) {
    const hindcast = await clients.energy.predict({ stream, map: { grid: past[at]!.grid! }, steps: AHEAD });
    const missed = hindcast.prediction!.values.map(
      (value, cell) => past[at + AHEAD]!.grid!.values[cell]! - value,
    );
    maps.push({ ...told, values: told.values.map((value, cell) => value + missed[cell]!) });
  }
  const { prior } = await clients.diffusion.fitPrior({
    idempotencyKey: 'futures',
    maps,
    meanSource: MeanSource.GIVEN,
    mean: told,
    boundary: Boundary.NEUMANN,
  });
  const drawn = await clients.diffusion.sample({
    spec: { priorId: prior!.priorId, samples: 4, numInferenceSteps: 20, seed: 42n },
  });
  const came: Field = { rows: told.rows, cols: told.cols, values: future[AHEAD - 1]! };
  const fields = [
    { field: told as Field, caption: `forecast, ${AHEAD} windows ahead` },
    ...drawn.samples.map(({ grid }, at) => ({ field: grid as Field, caption: `future ${at + 1}` })),
    { field: came, caption: 'what came' },
  ];
  const range = rangeOf(...fields.map(({ field }) => field.values));
  const frames = fields.map(({ field }, at) => {
    const { y, ...frame } = frameAt(field, at % 3);
    return { ...frame, y: y + Math.floor(at / 3) * (frame.height + TOP) };
  });
  const last = frames.at(-1)!;
  return picture(last.x + last.width + GAP, last.y + last.height + GAP, 'Futures drawn at random', [
    ...fields.map(({ field, caption }, at) => {
      const frame = frames[at]!;
      return text(frame.x, frame.y - 9, caption) + cells(frame, field, range);
    }),
  ]);
}

/** A map with holes, filled in by a prior fitted to maps before it. */
export async function drawImputed({ clients, stream }: Asked, seed: number): Promise<string> {
  const past = await newestMaps(clients, stream, 128);
  const whole = past.at(-1)!.grid!;
  const { prior } = await clients.diffusion.fitPrior({
    idempotencyKey: 'imputed',
    maps: past.slice(0, -1).map(({ grid }) => grid!),
  });
  const random = createRandom(seed, 1);
  const isSeen = Array.from(whole.values, () => random.uniform() < 0.4);
  const observed = new Uint8Array(Math.ceil(isSeen.length / 8));
  for (const [cell, seen] of isSeen.entries()) if (seen) observed[cell >> 3]! |= 1 << (cell & 7);
  const holed = { ...whole, values: whole.values.map((value, cell) => (isSeen[cell] ? value : 0)) };
  const filled = await clients.diffusion.impute({
    map: { grid: holed, observed },
    priorId: prior!.priorId,
    samples: 32,
    seed: 42n,
  });
  const range = rangeOf(whole.values, filled.mean!.values);
  const spread = rangeOf([0], filled.sd!.values);
  const shown = [
    { field: whole as Field, caption: 'the map', of: range, seen: undefined },
    { field: whole as Field, caption: '40 % of it', of: range, seen: isSeen },
    { field: filled.mean as Field, caption: 'filled in', of: range, seen: undefined },
    {
      field: filled.sd as Field,
      caption: `deviation, 0 to ${spread[1].toFixed(0)} J`,
      of: spread,
      seen: undefined,
    },
  ];
  const last = frameAt(whole, shown.length - 1);
  return picture(last.x + last.width + GAP, last.y + last.height + GAP, 'A map filled in', [
    ...shown.map(({ field, caption, of, seen }, at) => {
      const frame = frameAt(field, at);
      const visible = seen && ((cell: number) => seen[cell]!);
      return text(frame.x, TOP - 9, caption) + cells(frame, field, of, visible);
    }),
  ]);
}

const REGIME_INKS: readonly { readonly regime: Regime; readonly name: string; readonly ink: string }[] = [
  { regime: Regime.WARMING_UP, name: 'warming up', ink: INKS.gray },
  { regime: Regime.EQUILIBRIUM, name: 'equilibrium', ink: INKS.blue },
  { regime: Regime.TRANSITION, name: 'transition', ink: INKS.orange },
  { regime: Regime.CRITICAL, name: 'critical', ink: INKS.red },
  { regime: Regime.CHAOTIC, name: 'chaotic', ink: INKS.purple },
];

/** The probabilities of regimes, window after window, and the total beside them. */
export async function drawRegimes({ clients, stream }: Asked): Promise<string> {
  const maps = await newestMaps(clients, stream, 500);
  const chart: Frame = { x: 60, y: TOP, width: 640, height: 150 };
  const below: Frame = { ...chart, y: chart.y + chart.height + 40, height: 90 };
  const x = scale([0, maps.length - 1], [chart.x, chart.x + chart.width]);
  const y = scale([0, 1], [chart.y + chart.height, chart.y]);
  const xs = maps.map((_, at) => x(at));
  let floor = maps.map(() => 0);
  const areas = REGIME_INKS.map(({ regime, ink }) => {
    const ceiling = maps.map(
      ({ posterior }, at) =>
        floor[at]! + (posterior.find((each) => each.regime === regime)?.probability ?? 0),
    );
    const area = band(xs, floor.map(y), ceiling.map(y), ink, 0.85);
    floor = ceiling;
    return area;
  });
  const totals = maps.map(({ state }) => state!.net / 1000);
  const span = rangeOf(totals);
  const key = REGIME_INKS.map(({ name, ink }, at) => {
    const top = chart.y + 4 + 20 * at;
    return `<rect x="${chart.x + chart.width + 14}" y="${top}" width="10" height="10" fill="${ink}" fill-opacity="0.85"/>${text(chart.x + chart.width + 30, top + 9, name)}`;
  });
  return picture(chart.x + chart.width + 120, below.y + below.height + GAP, 'Regimes of a stream', [
    ...areas,
    axes(chart, [0, 1], `probability of each regime, over ${maps.length} windows`),
    ...key,
    axes(below, span, 'total energy, kJ'),
    line(xs, totals.map(scale(span, [below.y + below.height, below.y])), INKS.black),
  ]);
}

/** The newest maps, oldest first. */
async function newestMaps(clients: Clients, stream: Asked['stream'], count: number): Promise<EnergyMap[]> {
  const maps: EnergyMap[] = [];
  for (let pageToken = ''; maps.length < count; ) {
    const page = await clients.energy.listMaps({
      stream,
      page: { pageSize: Math.min(500, count), pageToken },
    });
    maps.push(...page.maps);
    pageToken = page.nextPageToken;
    if (pageToken === '') break;
  }
  return maps.slice(0, count).sort((a, b) => timestampMs(a.start!) - timestampMs(b.start!));
}

/** Place of the `nth` map in a row. */
function frameAt(
  { rows, cols }: { readonly rows: number; readonly cols: number },
  nth: number,
  cell = CELL,
): Frame {
  const width = cols * cell;
  return { x: GAP + nth * (width + GAP), y: TOP, width, height: rows * cell };
}

function legend(frame: Frame, range: readonly [number, number], unit: string): string {
  const steps = 32;
  const values = Float64Array.from({ length: steps }, (_, at) => 1 - at / (steps - 1));
  return [
    cells(frame, { rows: steps, cols: 1, values }, [0, 1]),
    text(frame.x + frame.width + 4, frame.y + 9, `${range[1].toFixed(0)} ${unit}`),
    text(frame.x + frame.width + 4, frame.y + frame.height, `${range[0].toFixed(0)} ${unit}`),
  ].join('');
}
