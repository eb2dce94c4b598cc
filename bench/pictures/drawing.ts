/**
 * SVG by hand: maps as colored cells, bands, lines and stacked areas, with just the text a reader needs. Numbers are
 * written with two decimals, so the same data make the same file.
 */

/** Where something is drawn, px. */
export interface Frame {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

/** A map to be drawn: rows x cols cells, row by row. */
export interface Field {
  readonly rows: number;
  readonly cols: number;
  readonly values: ArrayLike<number>;
}

/** A linear scale from data to px. */
export type Scale = (value: number) => number;

/** Dark to bright and even in lightness: nine stops of viridis (S. van der Walt, N. Smith 2015, CC0). */
const STOPS = [
  [68, 1, 84],
  [71, 44, 122],
  [59, 81, 139],
  [44, 113, 142],
  [33, 144, 141],
  [39, 173, 129],
  [92, 200, 99],
  [170, 220, 50],
  [253, 231, 37],
] as const;

/** Told apart by most color-blind readers (Okabe, Ito 2008). */
export const INKS = {
  blue: '#0072b2',
  orange: '#e69f00',
  red: '#d55e00',
  purple: '#cc79a7',
  gray: '#9a9a9a',
  black: '#222222',
} as const;

export function scale(from: readonly [number, number], to: readonly [number, number]): Scale {
  const slope = (to[1] - to[0]) / (from[1] - from[0]);
  return (value) => to[0] + (value - from[0]) * slope;
}

/** Least and greatest of many numbers. */
export function rangeOf(...series: readonly ArrayLike<number>[]): readonly [number, number] {
  let least = Number.POSITIVE_INFINITY;
  let greatest = Number.NEGATIVE_INFINITY;
  for (const values of series) {
    for (let at = 0; at < values.length; at++) {
      least = Math.min(least, values[at]!);
      greatest = Math.max(greatest, values[at]!);
    }
  }
  return [least, greatest];
}

/** A map; a cell that `shown` denies is left white. */
export function cells(
  { x, y, width, height }: Frame,
  field: Field,
  [least, greatest]: readonly [number, number],
  shown: (cell: number) => boolean = () => true,
): string {
  const [w, h] = [width / field.cols, height / field.rows];
  const parts: string[] = [];
  for (let cell = 0; cell < field.rows * field.cols; cell++) {
    if (!shown(cell)) continue;
    const left = x + (cell % field.cols) * w;
    const top = y + Math.floor(cell / field.cols) * h;
    const share = (field.values[cell]! - least) / (greatest - least || 1);
    // A hair wider than the cell: no seams between neighbors.
    parts.push(
      `<path fill="${color(share)}" d="M${px(left)} ${px(top)}h${px(w + 0.3)}v${px(h + 0.3)}h-${px(w + 0.3)}z"/>`,
    );
  }
  return parts.join('') + outline({ x, y, width, height });
}

/** A line through points. */
export function line(xs: readonly number[], ys: readonly number[], ink: string, dashed = false): string {
  const dash = dashed ? ' stroke-dasharray="4 3"' : '';
  return `<path fill="none" stroke="${ink}" stroke-width="1.5"${dash} d="${trace(xs, ys)}"/>`;
}

/** The area between two lines over the same xs. */
export function band(
  xs: readonly number[],
  lower: readonly number[],
  upper: readonly number[],
  ink: string,
  opacity = 0.25,
): string {
  const back = trace([...xs].reverse(), [...lower].reverse()).replace('M', 'L');
  return `<path fill="${ink}" fill-opacity="${opacity}" stroke="none" d="${trace(xs, upper)}${back}z"/>`;
}

export function text(
  x: number,
  y: number,
  words: string,
  anchor: 'start' | 'middle' | 'end' = 'start',
): string {
  return `<text x="${px(x)}" y="${px(y)}" text-anchor="${anchor}">${escaped(words)}</text>`;
}

/** A frame with its least and greatest value written on the left and a caption above. */
export function axes(frame: Frame, [least, greatest]: readonly [number, number], caption: string): string {
  const { x, y, height } = frame;
  return [
    outline(frame),
    text(x, y - 6, caption),
    text(x - 5, y + 10, short(greatest), 'end'),
    text(x - 5, y + height, short(least), 'end'),
  ].join('');
}

/** A whole picture, white, with a title for those who cannot see it. */
export function picture(width: number, height: number, title: string, parts: readonly string[]): string {
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img" font-family="sans-serif" font-size="11" fill="${INKS.black}">`,
    `<title>${escaped(title)}</title>`,
    `<rect width="${width}" height="${height}" fill="#ffffff"/>`,
    ...parts,
    '</svg>\n',
  ].join('\n');
}

export function outline({ x, y, width, height }: Frame): string {
  return `<rect x="${px(x)}" y="${px(y)}" width="${px(width)}" height="${px(height)}" fill="none" stroke="#888888" stroke-width="0.7"/>`;
}

function color(share: number): string {
  const place = Math.min(0.999_999, Math.max(0, share)) * (STOPS.length - 1);
  const [low, high] = [STOPS[Math.floor(place)]!, STOPS[Math.floor(place) + 1]!];
  const mixed = low.map((value, channel) => Math.round(value + (high[channel]! - value) * (place % 1)));
  return `#${mixed.map((value) => value.toString(16).padStart(2, '0')).join('')}`;
}

function trace(xs: readonly number[], ys: readonly number[]): string {
  return xs.map((x, at) => `${at === 0 ? 'M' : 'L'}${px(x)} ${px(ys[at]!)}`).join('');
}

/** At most two decimals, no trailing zeros. */
function px(value: number): string {
  return String(Math.round(value * 100) / 100);
}

function short(value: number): string {
  return Math.abs(value) >= 100 ? value.toFixed(0) : value.toPrecision(3);
}

function escaped(words: string): string {
  return words.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
}
