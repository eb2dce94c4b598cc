// Before a run of suites.
import { makeRunFolder, removeRunFolder } from './run-folder.mjs';

export default function setup() {
  makeRunFolder();
  // A run that is broken off has no teardown.
  for (const [signal, code] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ])
    process.once(signal, () => {
      removeRunFolder();
      process.exit(code);
    });
}
