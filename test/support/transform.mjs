/**
 * Compiles TypeScript for tests. A test's sandbox looks every global up through a trap, which makes `Math.imul` in an inner
 * loop ten times slower than it is; names bound at the top of a module are looked up as any other.
 */
import swc from '@swc/jest';

const GLOBALS = [
  'Array',
  'BigInt',
  'DataView',
  'Float32Array',
  'Float64Array',
  'Int32Array',
  'Map',
  'Math',
  'Number',
  'Object',
  'Set',
  'Uint32Array',
  'Uint8Array',
];
// On the first line, so that all others keep their numbers.
const PREFIX = `const { ${GLOBALS.join(', ')} } = globalThis;`;

export default {
  createTransformer(options) {
    const compiler = swc.createTransformer(options);
    const prefixed = (result) => ({ ...result, code: PREFIX + result.code });
    return {
      ...compiler,
      process: (...args) => prefixed(compiler.process(...args)),
      processAsync: async (...args) => prefixed(await compiler.processAsync(...args)),
      getCacheKey: (...args) => `${compiler.getCacheKey(...args)}-${PREFIX}`,
    };
  },
};
