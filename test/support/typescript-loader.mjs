// Lets a process and its worker threads run the TypeScript sources themselves: `node --import <this file> script.ts`.
import { readFile } from 'node:fs/promises';
import { register } from 'node:module';
import { fileURLToPath } from 'node:url';

// Loaded twice: by each thread that runs sources, to register the hook, and by the hooks' own thread, to be it.
const hook = `${import.meta.url.split('?')[0]}?hook`;
if (import.meta.url !== hook) register(hook);

/** Hook of the module loader; Node calls it on a thread of its own. */
export async function load(url, context, next) {
  if (!url.endsWith('.ts')) return next(url, context);
  const { transform } = await import('@swc/core');
  const { code } = await transform(await readFile(fileURLToPath(url), 'utf8'), {
    jsc: { target: 'es2023', parser: { syntax: 'typescript' } },
    module: { type: 'es6' },
    sourceMaps: 'inline',
  });
  return { format: 'module', source: code, shortCircuit: true };
}
