import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { ensureNats, findNats, isAtLeast, parseVersion } from '../../src/bus/find-nats.ts';

describe('finding nats-server', () => {
  test('finds the one that is installed', async () => {
    const found = await ensureNats();
    expect(isAtLeast(found.version, [2, 9, 0])).toBe(true);
    expect(await findNats()).toEqual(found);
  });

  test.each([
    ['nats-server: v2.9.10', [2, 9, 10]],
    ['2.10.0-beta.1', [2, 10, 0]],
    ['nats-server: v2.12.3\n', [2, 12, 3]],
    ['no version', undefined],
  ])('reads the version in %j', (text, version) => {
    expect(parseVersion(text)).toEqual(version);
  });

  test('compares versions by number', () => {
    expect(isAtLeast([2, 10, 0], [2, 9, 25])).toBe(true);
    expect(isAtLeast([2, 9, 25], [2, 10, 0])).toBe(false);
    expect(isAtLeast([2, 9, 0], [2, 9, 0])).toBe(true);
    expect(isAtLeast([3, 0, 0], [2, 99, 99])).toBe(true);
  });

  test('finds one unpacked in the cache directory when the path has none', async () => {
    const cacheDir = await mkdtemp(join(tmpdir(), 'homeostat-cache-'));
    try {
      const bin = join(cacheDir, 'nats-server', 'usr', 'sbin');
      await mkdir(bin, { recursive: true });
      const command = join(bin, 'nats-server');
      await writeFile(command, '#!/bin/sh\necho nats-server: v2.10.7\n', { mode: 0o755 });
      expect(await findNats({ cacheDir, places: ['nats-server-of-nowhere'] })).toEqual({
        command,
        version: [2, 10, 7],
      });
      await writeFile(command, '#!/bin/sh\necho nats-server: v2.8.4\n', { mode: 0o755 });
      expect(await findNats({ cacheDir, places: [] })).toBeUndefined();
    } finally {
      await rm(cacheDir, { recursive: true, force: true });
    }
  });

  test('says plainly what to install where it cannot install it', async () => {
    const cacheDir = await mkdtemp(join(tmpdir(), 'homeostat-cache-'));
    const failing = { text: 'pkg install nats-server', steps: [['false', []]] as const };
    try {
      await expect(ensureNats({ cacheDir, places: [], installers: [failing] })).rejects.toMatchObject({
        reason: 'NATS_SERVER_MISSING',
        message: expect.stringMatching(
          /install nats-server 2\.9\.0 or newer .*pkg install nats-server failed/,
        ),
      });
    } finally {
      await rm(cacheDir, { recursive: true, force: true });
    }
  });

  test('takes the next way to install when the first one fails', async () => {
    const cacheDir = await mkdtemp(join(tmpdir(), 'homeostat-cache-'));
    const target = join(cacheDir, 'nats-server', 'usr', 'sbin');
    const tried: string[] = [];
    try {
      const found = await ensureNats({
        cacheDir,
        places: [],
        onInstall: (how) => tried.push(how),
        installers: [
          { text: 'first', steps: [['false', []]] },
          {
            text: 'second',
            steps: [
              ['mkdir', ['-p', target]],
              [
                'sh',
                ['-c', `printf '#!/bin/sh\\necho v2.11.0\\n' > nats-server && chmod +x nats-server`],
                target,
              ],
            ],
          },
        ],
      });
      expect(found.version).toEqual([2, 11, 0]);
      expect(tried).toEqual(['first', 'second']);
    } finally {
      await rm(cacheDir, { recursive: true, force: true });
    }
  });
});
