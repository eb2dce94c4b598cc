/**
 * Draws the live view of a demo: a pure function from what is known to the lines of a screen. Width is counted in
 * characters; colors come on top of it and never change it. Without colors the heat map is drawn in shades.
 */
import { PhaseSeverity } from '../gen/homeostat/resilience/v1/resilience_service_pb.ts';
import { LEVEL_NAMES, type LiveState, type MapView, riskName, type Series } from './live-state.ts';

/** A run of characters of one style. */
interface Span {
  readonly text: string;
  readonly style?: string;
}

type Line = readonly Span[];

const RESET = '\x1b[0m';
const BOLD = '\x1b[1m';
const DIM = '\x1b[2m';
/** Background colors of the 256-color palette from cold to hot (after matplotlib's inferno). */
const HEAT = [17, 18, 54, 90, 126, 161, 197, 202, 208, 214, 220];
const SHADES = [' ', '░', '▒', '▓', '█'];
const LEVEL_STYLES = ['', '\x1b[30;42m', '\x1b[30;46m', '\x1b[30;43m', '\x1b[97;45m', '\x1b[97;41m'];
interface RiskLook {
  readonly style: string;
  readonly spark: string;
}

/** Style and height in a sparkline, per severity of phase risk; drawn alike whatever else is shown. */
const RISKS: Readonly<Partial<Record<PhaseSeverity, RiskLook>>> = {
  [PhaseSeverity.NORMAL]: { style: '\x1b[30;42m', spark: '▁' },
  [PhaseSeverity.ELEVATED]: { style: '\x1b[30;46m', spark: '▃' },
  [PhaseSeverity.HIGH]: { style: '\x1b[30;43m', spark: '▅' },
  [PhaseSeverity.CRITICAL]: { style: '\x1b[97;45m', spark: '▇' },
  [PhaseSeverity.IMMINENT]: { style: '\x1b[97;41m', spark: '█' },
};
const NO_SEVERITY: RiskLook = { style: DIM, spark: '·' };
const RISK_LOOKS_SHOWN = 40;
const SPARKS = '▁▂▃▄▅▆▇█';
/** Energy drawn hottest; the scale below is logarithmic. */
const HOTTEST = 10_000;
const CELL_WIDTH_MAX = 12;
const CELL_WIDTH_MIN = 2;

/** The whole screen: `height` lines of exactly `width` characters, joined by line breaks. */
export function renderFrame(state: LiveState, width: number, height: number, colors = true): string {
  const lines: Line[] = [header(state, width), defense(state), risk(state), []];
  const below = [sessions(state), telemetry(state)];
  const roomForMap = Math.max(3, height - lines.length - below.length - 4);
  lines.push(...middle(state, width, roomForMap, colors), [], ...below, []);
  const roomForLog = Math.max(0, height - lines.length);
  if (roomForLog > 0) lines.push(...state.log.slice(-roomForLog).map((text) => [{ text: ` ${text}` }]));
  while (lines.length < height) lines.push([]);
  return lines
    .slice(0, height)
    .map((line) => paint(line, width, colors))
    .join('\n');
}

function header(state: LiveState, width: number): Line {
  const time = new Date(state.eventTimeMs).toISOString().slice(0, 19);
  const right = ` ${time}Z  ${state.part}  ${bar(state.progress, 12)} ${Math.round(state.progress * 100)} %`;
  const left = ` ${state.title}`.slice(0, Math.max(0, width - right.length));
  return [
    { text: left.padEnd(width - right.length), style: BOLD },
    { text: right, style: DIM },
  ];
}

function defense(state: LiveState): Line {
  const spans: Span[] = [
    { text: ' DEFENSE ' },
    { text: ` ${state.level} ${LEVEL_NAMES[state.level] ?? ''} `, style: LEVEL_STYLES[state.level] ?? '' },
  ];
  if (state.utilization !== undefined) {
    spans.push({ text: `  utilization ${state.utilization.toFixed(2)} ${bar(state.utilization, 20)}` });
    if (state.ceiling !== undefined) spans.push({ text: ` ceiling ${state.ceiling.toFixed(2)}`, style: DIM });
  }
  if (state.heldUntilMs !== undefined)
    spans.push({ text: `  held until ${timeOfDay(state.heldUntilMs)}`, style: DIM });
  return spans;
}

/** What the early warning says, and what it said at each look. */
function risk({ risk: { severity, sinceMs, looks } }: LiveState): Line {
  const name = severity === PhaseSeverity.UNSPECIFIED ? 'no look yet' : riskName(severity);
  const { style } = RISKS[severity] ?? NO_SEVERITY;
  const sparks = looks.slice(-RISK_LOOKS_SHOWN).map((look) => (RISKS[look] ?? NO_SEVERITY).spark);
  const spans: Span[] = [
    { text: ' RISK    ' },
    { text: ` ${name} `, style },
    { text: `  ${sparks.join('')}` },
  ];
  if (sinceMs !== undefined) spans.push({ text: `  since ${timeOfDay(sinceMs)}`, style: DIM });
  return spans;
}

function timeOfDay(atMs: number): string {
  return new Date(atMs).toISOString().slice(11, 16);
}

/** The heat map, and beside it, where there is room, the series. */
function middle(state: LiveState, width: number, height: number, colors: boolean): Line[] {
  const seriesWidth = width >= 72 ? Math.min(46, Math.floor(width / 2)) : 0;
  const map = heatMap(state, width - seriesWidth - 2, height, colors);
  const mapWidth = Math.max(24, ...map.map(lengthOf));
  const series = seriesWidth > 0 ? state.series.flatMap((one) => seriesLines(one, width - mapWidth - 4)) : [];
  const lines: Line[] = [];
  for (let i = 0; i < Math.max(map.length, Math.min(series.length, height)); i++) {
    const left = map[i] ?? [];
    const gap = { text: ' '.repeat(Math.max(0, mapWidth - lengthOf(left)) + 2) };
    lines.push([...left, gap, ...(series[i] ?? [])]);
  }
  return lines;
}

function heatMap(state: LiveState, width: number, height: number, colors: boolean): Line[] {
  const { map } = state;
  const title = [{ text: ` ENERGY MAP ${map ? `${map.rows} x ${map.cols}` : ''} #${state.mapCount}` }];
  if (!map) return [title, [{ text: ' no map yet', style: DIM }]];
  const cellWidth = Math.min(CELL_WIDTH_MAX, Math.floor((width - 1) / map.cols));
  const cellHeight = Math.min(3, Math.floor((height - 1) / map.rows));
  if (cellWidth < CELL_WIDTH_MIN || cellHeight < 1)
    return [title, [{ text: ' the map does not fit this terminal', style: DIM }]];
  const lines: Line[] = [title];
  for (let row = 0; row < map.rows; row++) {
    for (let part = 0; part < cellHeight; part++) {
      const cells = Array.from({ length: map.cols }, (_, col) =>
        heatCell(map, row * map.cols + col, part, { cellWidth, cellHeight, colors }),
      );
      lines.push([{ text: ' ' }, ...cells]);
    }
  }
  return lines;
}

interface CellShape {
  readonly cellWidth: number;
  readonly cellHeight: number;
  readonly colors: boolean;
}

/** One of the lines of a cell: the node's name on the first, its energy on the next. */
function heatCell(map: MapView, cell: number, part: number, shape: CellShape): Span {
  const { cellWidth, cellHeight, colors } = shape;
  const node = map.nodes[cell] ?? '';
  if (node === '') return { text: ' '.repeat(cellWidth) };
  if (!map.observed[cell]) return { text: field(part === 0 ? node : '·', cellWidth), style: DIM };
  const energy = map.values[cell] ?? 0;
  const label =
    cellHeight === 1 ? energy.toFixed(0) : part === 0 ? node : part === 1 ? energy.toFixed(1) : '';
  const heat = heatOf(energy);
  if (!colors) {
    const shade = SHADES[Math.min(SHADES.length - 1, Math.floor(heat * SHADES.length))]!;
    return { text: `${field(label, cellWidth - 1, shade)} ` };
  }
  const color = HEAT[Math.min(HEAT.length - 1, Math.floor(heat * HEAT.length))]!;
  return { text: field(label, cellWidth), style: `\x1b[48;5;${color};${heat > 0.7 ? 30 : 97}m` };
}

/** Where an energy lies on the scale, 0..1. */
export function heatOf(energy: number): number {
  return Math.min(1, Math.log1p(Math.max(0, energy)) / Math.log1p(HOTTEST));
}

function seriesLines(series: Series, width: number): Line[] {
  const latest = series.values.at(-1);
  const drawn = series.logarithmic ? series.values.map((one) => Math.log1p(one)) : series.values;
  const value = latest === undefined ? '' : latest >= 100 ? latest.toFixed(0) : latest.toFixed(2);
  return [
    [{ text: `${series.name} ` }, { text: value, style: BOLD }],
    [{ text: sparkline(drawn, Math.max(0, width)), style: '\x1b[36m' }],
  ];
}

/** The last values as bars, scaled between the least and the greatest shown. */
export function sparkline(values: readonly number[], width: number): string {
  const shown = width > 0 ? values.slice(-width) : [];
  const least = Math.min(...shown);
  const range = Math.max(...shown) - least;
  return shown
    .map((value) => SPARKS[range > 0 ? Math.min(7, Math.floor(((value - least) / range) * 8)) : 0])
    .join('');
}

function sessions({ sessions: { created, live, refused, refusedByLevel } }: LiveState): Line {
  const levels = Object.entries(refusedByLevel).map(([level, count]) => `level ${level}: ${count}`);
  const detail = levels.length > 0 ? ` (${levels.join(', ')})` : '';
  return [
    { text: ' SESSIONS  ' },
    { text: `created ${created}  live ${live}  ` },
    { text: `refused ${refused}${detail}`, ...(refused > 0 && { style: '\x1b[33m' }) },
  ];
}

function telemetry({ telemetry: account }: LiveState): Line {
  const { offered, accepted, duplicate, late } = account;
  const text =
    `samples offered ${offered}  accepted ${accepted}  duplicate ${duplicate}  late ${late}  ` +
    `rejected ${account.rejected}`;
  return [{ text: ' TELEMETRY ' }, { text }];
}

function bar(share: number, width: number): string {
  const filled = Math.round(Math.min(1, Math.max(0, share)) * width);
  return '█'.repeat(filled) + '░'.repeat(width - filled);
}

/** Text in a field of a width, cut or filled at the end. */
function field(text: string, width: number, fill = ' '): string {
  return ` ${text}`.slice(0, width).padEnd(width, fill);
}

function lengthOf(line: Line): number {
  return line.reduce((sum, { text }) => sum + text.length, 0);
}

/** A line of exactly `width` characters, styled where colors are wanted. */
function paint(line: Line, width: number, colors: boolean): string {
  let left = width;
  let painted = '';
  for (const { text, style } of line) {
    const shown = text.slice(0, left);
    left -= shown.length;
    painted += colors && style && shown ? `${style}${shown}${RESET}` : shown;
  }
  return painted + ' '.repeat(left);
}
