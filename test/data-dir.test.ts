import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { claimDataDir, readServerRecord, runningServer } from '../src/data-dir.ts';

describe('the data directory', () => {
  let folder = '';
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'homeostat-data-'));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  test('is made with private permissions, announced and given up', () => {
    const path = join(folder, 'a', 'b');
    const held = claimDataDir(path);
    expect(statSync(path).mode & 0o777).toBe(0o700);
    held.announce({ grpcAddress: '127.0.0.1:1', httpAddress: '127.0.0.1:2' });
    expect(readServerRecord(path)).toMatchObject({ pid: process.pid, grpcAddress: '127.0.0.1:1' });
    held.release();
    expect(readServerRecord(path)).toBeUndefined();
  });

  test('held by a living server is refused with its pid', () => {
    const parent = { pid: process.ppid, startTicks: ticksOf(process.ppid), grpcAddress: '', httpAddress: '' };
    writeFileSync(join(folder, 'server.json'), JSON.stringify(parent));
    expect(runningServer(folder)).toMatchObject({ pid: process.ppid });
    expect(() => claimDataDir(folder)).toThrow(`in use by the server with pid ${process.ppid}`);
  });

  test('left behind by a dead server, or by another process with its pid, is taken over', () => {
    for (const record of [
      { pid: 2 ** 22 + 1, startTicks: '1', grpcAddress: '', httpAddress: '' },
      { pid: process.ppid, startTicks: '1', grpcAddress: '', httpAddress: '' },
    ]) {
      writeFileSync(join(folder, 'server.json'), JSON.stringify(record));
      claimDataDir(folder);
      expect(readServerRecord(folder)).toMatchObject({ pid: process.pid });
    }
  });

  test('with a torn record is taken over', () => {
    writeFileSync(join(folder, 'server.json'), '{"pid":');
    expect(() => claimDataDir(folder)).not.toThrow();
  });

  test('that is a file is refused in one sentence', () => {
    const file = join(folder, 'file');
    writeFileSync(file, '');
    expect(() => claimDataDir(file)).toThrow(`the data directory ${file} is not a folder`);
    mkdirSync(join(folder, 'server.json'));
    expect(() => claimDataDir(folder)).toThrow(/^the data directory /);
  });
});

/** Start of a process as the data directory records it; empty on systems without /proc. */
function ticksOf(pid: number): string {
  if (!existsSync('/proc')) return '';
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]!;
}
