/**
 * Stands in for `piscina` under jest, which compiles the sources only for its own thread: the real pool, its threads
 * given the loader that lets them run TypeScript.
 */
import Pool from '../../node_modules/piscina/dist/main.js';

const loader = new URL('./typescript-loader.mjs', import.meta.url).href;

export class Piscina extends Pool {
  constructor(options: ConstructorParameters<typeof Pool>[0]) {
    super({ ...options, execArgv: ['--no-warnings', '--import', loader] });
  }
}
