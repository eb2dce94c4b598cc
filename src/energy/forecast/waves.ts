/** The waves of maps of one shape: transforms there and back, and what wave each place of a half spectrum is of. */
import type { Arena } from '../../numeric/kernels/arena.ts';
import { createGridFft } from '../../numeric/kernels/fft-plan.ts';
import type { MapShape } from './predictor.ts';

/** Waves gone through between two yields: under a millisecond. */
export const STEP_WAVES = 8192;

/** A half spectrum. */
export interface Planes {
  readonly re: Float64Array;
  readonly im: Float64Array;
}

export type Waves = ReturnType<typeof createWaves>;

/** Cells a map is continued by on either side. */
function edge(side: number, boundary: MapShape['boundary']): number {
  return boundary === 'PERIODIC' || side === 1 ? 0 : Math.ceil(side / 4);
}

/** Bytes of arena that waves take. */
export function wavesBytes({ rows, cols, boundary }: MapShape): number {
  const [tall, wide] = [rows + 2 * edge(rows, boundary), cols + 2 * edge(cols, boundary)];
  return 8 * (tall * wide + 8 * tall * (wide / 2 + 8)) + 4096 * (tall + wide);
}

/**
 * Half spectra of maps of one shape, with each place's wave number and how many waves it stands for. Other plans may share
 * the arena as long as one runs at a time.
 */
export function createWaves({ rows, cols, boundary }: MapShape, arena: Arena) {
  const [top, left] = [edge(rows, boundary), edge(cols, boundary)];
  const [tall, wide] = [rows + 2 * top, cols + 2 * left];
  const plan = createGridFft(arena, 'float64', tall, wide);
  const { kept, stride } = plan;
  const size = tall * stride;
  const grid = arena.float64(tall * wide);
  const re = arena.float64(size);
  const im = arena.float64(size);
  const rowWave = Float64Array.from({ length: tall }, (_, i) => waveNumber(i, tall));
  const colWave = Float64Array.from({ length: kept }, (_, j) => waveNumber(j, wide));
  const band = Math.max(1, Math.floor(STEP_WAVES / kept));
  const inside = (at: number, length: number) => Math.min(length - 1, Math.max(0, at));
  return {
    size,
    tall,
    wide,
    stride,
    kept,
    /** Whether to pause after a row of waves. */
    isPause: (row: number) => row % band === band - 1,
    rowWave,
    colWave,
    /** Waves a column of the half spectrum stands for. */
    count: (col: number) => (col === 0 || 2 * col === wide ? 1 : 2),
    transform(cells: Float64Array): Planes {
      for (let i = 0; i < tall; i++) {
        const row = inside(i - top, rows) * cols;
        for (let j = 0; j < wide; j++) grid[i * wide + j] = cells[row + inside(j - left, cols)]!;
      }
      plan.forward(grid, re, im);
      return { re: re.slice(), im: im.slice() };
    },
    back(planes: Planes, out: Float64Array): void {
      re.set(planes.re);
      im.set(planes.im);
      plan.back(re, im, grid);
      for (let i = 0; i < rows; i++) {
        const row = (i + top) * wide + left;
        out.set(grid.subarray(row, row + cols), i * cols);
      }
    },
    /** Where a cross spectrum's correlation is greatest, in cells; each side's shift is under half the side. */
    peak(planes: Planes): readonly [number, number] {
      re.set(planes.re);
      im.set(planes.im);
      plan.back(re, im, grid);
      let best = 0;
      for (let at = 1; at < grid.length; at++) if (grid[at]! > grid[best]!) best = at;
      const centered = (at: number, side: number) => (2 * at > side ? at - side : at);
      return [centered(Math.floor(best / wide), tall), centered(best % wide, wide)];
    },
  };
}

/** Radians a cell of place `at` in a transform. */
function waveNumber(at: number, length: number): number {
  return (2 * Math.PI * (2 * at > length ? at - length : at)) / length;
}
