/** The transforms in single (32) and double (64) precision, as the module exports them. */
import { columns, rowsBack, rowsForward } from './fft-grid';
import { interleaved, single } from './fft-line';
import { fillChirp, fillCombination, fillTwiddles } from './fft-plan';

export function twiddles32(at: usize, radix: u32, m: u32): void {
  fillTwiddles<f32>(at, radix, m);
}
export function twiddles64(at: usize, radix: u32, m: u32): void {
  fillTwiddles<f64>(at, radix, m);
}
export function combination32(at: usize, n: u32): void {
  fillCombination<f32>(at, 4, n);
}
export function combination64(at: usize, n: u32): void {
  fillCombination<f64>(at, 2, n);
}
export function chirp32(plan: usize): void {
  fillChirp<f32>(plan);
}
export function chirp64(plan: usize): void {
  fillChirp<f64>(plan);
}
export function interleaved32(
  plan: usize,
  n: usize,
  xRe: usize,
  xIm: usize,
  yRe: usize,
  yIm: usize,
  turns: usize,
  scale: f32,
): void {
  interleaved<f32>(plan, n, xRe, xIm, yRe, yIm, turns, scale);
}
export function interleaved64(
  plan: usize,
  n: usize,
  xRe: usize,
  xIm: usize,
  yRe: usize,
  yIm: usize,
  turns: usize,
  scale: f64,
): void {
  interleaved<f64>(plan, n, xRe, xIm, yRe, yIm, turns, scale);
}
export function single32(
  plan: usize,
  n: usize,
  xRe: usize,
  xIm: usize,
  yRe: usize,
  yIm: usize,
  scale: f32,
): void {
  single<f32>(plan, n, xRe, xIm, yRe, yIm, scale);
}
export function single64(
  plan: usize,
  n: usize,
  xRe: usize,
  xIm: usize,
  yRe: usize,
  yIm: usize,
  scale: f64,
): void {
  single<f64>(plan, n, xRe, xIm, yRe, yIm, scale);
}
export function rowsForward32(
  plan: usize,
  values: usize,
  rows: usize,
  cols: usize,
  re: usize,
  im: usize,
  stride: usize,
): void {
  rowsForward<f32>(plan, values, rows, cols, re, im, stride);
}
export function rowsForward64(
  plan: usize,
  values: usize,
  rows: usize,
  cols: usize,
  re: usize,
  im: usize,
  stride: usize,
): void {
  rowsForward<f64>(plan, values, rows, cols, re, im, stride);
}
export function rowsBack32(
  plan: usize,
  values: usize,
  rows: usize,
  cols: usize,
  re: usize,
  im: usize,
  stride: usize,
  scale: f32,
): void {
  rowsBack<f32>(plan, values, rows, cols, re, im, stride, scale);
}
export function rowsBack64(
  plan: usize,
  values: usize,
  rows: usize,
  cols: usize,
  re: usize,
  im: usize,
  stride: usize,
  scale: f64,
): void {
  rowsBack<f64>(plan, values, rows, cols, re, im, stride, scale);
}
export function columns32(plan: usize, xRe: usize, xIm: usize, yRe: usize, yIm: usize, stride: usize): void {
  columns<f32>(plan, xRe, xIm, yRe, yIm, stride);
}
export function columns64(plan: usize, xRe: usize, xIm: usize, yRe: usize, yIm: usize, stride: usize): void {
  columns<f64>(plan, xRe, xIm, yRe, yIm, stride);
}
