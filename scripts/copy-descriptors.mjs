// Puts the contracts' descriptors beside compiled sources, where reflection reads them: copy-descriptors.mjs FOLDER
import { copyFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
copyFileSync(
  join(root, 'src/gen/descriptors.binpb'),
  join(resolve(root, process.argv[2]), 'descriptors.binpb'),
);
