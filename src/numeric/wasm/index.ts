/** Entry of the compiled module: what TypeScript may call. Addresses are bytes from the start of the memory. */
export { blocks } from './block-sum';
export {
  chirp32,
  chirp64,
  columns32,
  columns64,
  combination32,
  combination64,
  interleaved32,
  interleaved64,
  rowsBack32,
  rowsBack64,
  rowsForward32,
  rowsForward64,
  single32,
  single64,
  twiddles32,
  twiddles64,
} from './fft';
export { flowed, learn, stepped, whiten } from './gaussian';
export { histogram } from './histogram';
export { normals32, normals64 } from './noise';
export { laplacian, slopeSizes, slopes, slopes4, stencil25 } from './stencil';
export { entropies, exponentials, least, moments, multiply, normalize, spread, squares, sum } from './sums';

/** First byte that the module's constants leave free. */
export function firstFree(): usize {
  return __heap_base;
}
