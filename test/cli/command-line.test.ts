import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { runCommandLine } from '../../src/cli/command-line.ts';
import { createFakeClock } from '../support/fake-clock.ts';

/** Runs a command line; what it wrote and how it ended. */
async function run(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  let out = '';
  let err = '';
  const code = await runCommandLine(args, {
    clock: createFakeClock(),
    out: { write: (text) => (out += text) },
    err: { write: (text) => (err += text) },
    signal: new AbortController().signal,
  });
  return { code, out, err };
}

describe('arguments that cannot be used end with exit code 2 and one sentence', () => {
  test.each([
    [[], /no command given; known are serve, demo, replay, token/],
    [['fly'], /there is no command "fly"/],
    [['serve', 'now'], /takes no argument, not 1/],
    [['serve', '--fast'], /Unknown option '--fast'/],
    [['token', '--to', '/nowhere'], /no server runs on \/nowhere/],
    [['token', '--ttl', '2d'], /--ttl must be a duration/],
    [['token', '--role', 'No'], /--role must be the name of a role/],
    [['token', '--bootstrap', '--role', 'viewer'], /--bootstrap alone/],
    [['replay'], /takes <file>, not 0 arguments/],
    [['replay', 'a.csv', 'b.csv'], /takes <file>, not 2 arguments/],
    [['replay', '/nowhere/a.csv'], /there is no file \/nowhere\/a\.csv/],
    [['replay', 'a.csv', '--rate', 'fast'], /--rate must be max or a factor such as 10x, not "fast"/],
    [['replay', 'a.csv', '--rate', '0x'], /--rate/],
    [['replay', 'a.csv', '--rate'], /rate/],
    [['replay', 'a.csv', '--domain', 'a.b'], /--domain must match/],
    [['replay', 'a.csv', '--unit', 'cpu'], /--unit must have the form <metric>=<value>/],
    [['replay', 'a.csv', '--kind', 'cpu=LEVEL'], /--kind must be GAUGE, COUNTER or DELTA/],
    [['replay', 'a.csv', '--report', '/nowhere/x.json'], /\/nowhere\/x\.json cannot be written/],
    [['demo', '--nodes', '0'], /--nodes must be a whole number from 1/],
    [['demo', '--nodes', 'many'], /--nodes/],
    [['demo', '--for', 'ever'], /--for must be a duration such as 30s/],
    [['demo', '--for', '1s'], /--for/],
    [['demo', '--seed', '-1'], /seed/],
    [['demo', '--json', '/nowhere/out.json'], /\/nowhere\/out\.json cannot be written/],
  ])('%j', async (args, sentence) => {
    const { code, out, err } = await run(...args);
    expect(err).toMatch(sentence);
    expect(err).toMatch(/^homeostat: [^\n]+\n$/);
    expect({ code, out }).toEqual({ code: 2, out: '' });
  });

  test('a start that is no date is named', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'homeostat-cli-'));
    const file = join(folder, 'a.csv');
    await writeFile(file, 't,a\n0,1\n');
    expect(await run('replay', file, '--start', 'soon')).toMatchObject({
      code: 2,
      err: expect.stringMatching(/--start must be a date/),
    });
    await rm(folder, { recursive: true });
  });
});

describe('help', () => {
  test('lists every command', async () => {
    const { code, out, err } = await run('--help');
    expect({ code, err }).toEqual({ code: 0, err: '' });
    for (const name of ['serve', 'demo', 'replay', 'token', 'verify', 'doctor'])
      expect(out).toMatch(new RegExp(`^  ${name} `, 'm'));
  });

  test.each([
    ['serve', []],
    ['demo', ['--nodes', '--seed', '--for', '--json']],
    ['replay', ['--to', '--rate', '--report', '--scores', '--metric-column']],
    ['token', ['--role', '--scope', '--ttl', '--to', '--bootstrap']],
    ['verify', ['--trust', '--witnesses', '--payload', '--json']],
    ['doctor', ['--json', '--thorough', '--probe']],
  ])('of %s names its options and exit codes', async (name, options) => {
    const { code, out } = await run(name, '--help');
    expect(code).toBe(0);
    expect(out).toMatch(new RegExp(`Usage: homeostat ${name}`));
    expect(out).toMatch(/Exit codes: 0 done, 1 failed, 2 unusable input/);
    for (const option of options) expect(out).toContain(option);
  });
});
