/** `homeostat demo | head -1`: when nobody reads any more, everything that was started is stopped, and nothing is left. */
import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { expect, test } from '@jest/globals';

const program = join(dirname(fileURLToPath(import.meta.url)), '..', '..', 'dist', 'cli', 'main.js');

test('a demo whose output nobody reads ends in order and leaves nothing behind', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'homeostat-pipe-'));
  try {
    const child = spawn(process.execPath, [program, 'demo', '--for', '20s'], {
      env: { ...process.env, TMPDIR: folder },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let said = '';
    child.stderr.on('data', (chunk) => {
      said += chunk;
    });
    const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
    for await (const line of createInterface({ input: child.stdout })) {
      expect(line).toContain('nodes report');
      break;
    }
    child.stdout.destroy();
    expect(await ended).toBe(1);
    expect(said).toContain('interrupted');
    expect(readdirSync(folder)).toEqual([]);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
