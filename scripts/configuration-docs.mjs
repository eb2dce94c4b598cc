// Writes docs/configuration.md from the table in src/config.ts (compiled first).
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { renderConfiguration } from '../dist/config.js';

const text = `# Configuration

Environment variables, read once at start. All faults are reported together and the server exits with code 2. An unknown
variable with the prefix is a fault, so that a misspelled one is noticed.

${renderConfiguration()}`;
writeFileSync(fileURLToPath(new URL('../docs/configuration.md', import.meta.url)), text);
