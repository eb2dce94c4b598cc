// Compiles the kernels of src/numeric/wasm into src/numeric/kernels/wasm-code.ts. With --check it fails when what is
// committed differs.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const target = join(root, 'src', 'numeric', 'kernels', 'wasm-code.ts');
const folder = mkdtempSync(join(tmpdir(), 'homeostat-wasm-'));
try {
  const binary = join(folder, 'kernels.wasm');
  execFileSync(
    process.execPath,
    [
      join(root, 'node_modules', 'assemblyscript', 'bin', 'asc.js'),
      'src/numeric/wasm/index.ts',
      '--outFile',
      binary,
      '--config',
      'src/numeric/wasm/asconfig.json',
    ],
    { cwd: root, stdio: 'inherit' },
  );
  const bytes = readFileSync(binary);
  const text = `/** The kernels of src/numeric/wasm, compiled: made by scripts/wasm.mjs, never edited. */
export const WASM_BASE64 =
  '${bytes.toString('base64')}';
`;
  if (!process.argv.includes('--check')) {
    writeFileSync(target, text);
    console.log(`${bytes.length} bytes of WebAssembly`);
  } else if (readFileSync(target, 'utf8') !== text) {
    console.error('src/numeric/kernels/wasm-code.ts is stale (run node scripts/wasm.mjs)');
    process.exitCode = 1;
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
