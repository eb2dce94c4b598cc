// Puts the contracts' descriptors beside the compiled sources, where reflection reads them.
import { copyFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const at = (path) => fileURLToPath(new URL(path, import.meta.url));
copyFileSync(at('../src/gen/descriptors.binpb'), at('../dist/gen/descriptors.binpb'));
