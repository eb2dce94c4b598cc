// Generates src/gen and docs/api.md from proto/. With --check it fails when what is committed differs.
import { execFileSync } from 'node:child_process';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { renderApi } from './api-docs.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const check = process.argv.includes('--check');
const env = { ...process.env, PATH: `${join(root, 'node_modules', '.bin')}:${process.env.PATH}` };
const buf = (...args) => execFileSync('buf', args, { cwd: root, env, stdio: 'inherit' });

const files = (folder) =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length))
    .sort();

const committed = join(root, 'src', 'gen');
const apiFile = join(root, 'docs', 'api.md');
const before = mkdtempSync(join(tmpdir(), 'homeostat-gen-'));
try {
  buf('lint');
  if (check) cpSync(committed, before, { recursive: true });
  buf('generate');
  // What reflection serves: every file, imports included, exactly as buf describes it.
  buf('build', '--as-file-descriptor-set', '--output', join(committed, 'descriptors.binpb'));
  const api = renderApi(readFileSync(join(committed, 'descriptors.binpb')));
  if (!check) writeFileSync(apiFile, api);
  else if (readFileSync(apiFile, 'utf8') !== api) {
    console.error('docs/api.md is stale (run npm run gen)');
    process.exitCode = 1;
  }
  if (check) {
    const names = [...new Set([...files(before), ...files(committed)])].filter((name) => {
      try {
        return !readFileSync(join(before, name)).equals(readFileSync(join(committed, name)));
      } catch {
        return true; // Present on one side only.
      }
    });
    if (names.length > 0) {
      console.error(`src/gen is stale (run npm run gen): ${names.join(', ')}`);
      process.exitCode = 1;
    }
  }
} finally {
  rmSync(before, { recursive: true, force: true });
}
