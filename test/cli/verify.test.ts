import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type Bundles, makeBundles, runCommand } from './verify-world.ts';

describe('homeostat verify', () => {
  let bundles: Bundles;
  let folder: string;
  let written = 0;

  beforeAll(async () => {
    bundles = await makeBundles();
    folder = await mkdtemp(join(tmpdir(), 'homeostat-verify-'));
  });
  afterAll(() => rm(folder, { recursive: true }));

  const file = async (content: string | Uint8Array) => {
    const path = join(folder, `file-${written++}`);
    await writeFile(path, content);
    return path;
  };
  const verify = async (content: string | Uint8Array, trust: string, ...options: string[]) =>
    runCommand('verify', await file(content), '--trust', await file(trust), ...options);
  const verifyPath = async (path: string, trust: string) =>
    runCommand('verify', path, '--trust', await file(trust));
  /** Outcomes by check. */
  const findings = async (content: string, trust: string, ...options: string[]) => {
    const { code, out } = await verify(content, trust, '--json', ...options);
    const report = JSON.parse(out) as {
      kind: string;
      valid: boolean;
      findings: { check: string; outcome: string; detail: string }[];
    };
    expect(report.valid).toBe(code === 0);
    return {
      code,
      kind: report.kind,
      checks: report.findings.map(({ check, outcome }) => `${check} ${outcome}`),
    };
  };

  test('an export of the audit trail is valid, whichever way its JSON is laid out', async () => {
    const { code, out, err } = await verify(bundles.audit, bundles.logKey);
    expect(out).toMatch(/^ok {6}chain {6}entries 1 to 4 link/);
    expect(out).toMatch(/\nok {6}anchor {5}its ledger entry holds the hash of entry 4\n/);
    expect(out).toMatch(/\nabsent {2}witnesses/);
    expect(out).toMatch(/\nThe audit export is valid\.\n$/);
    expect({ code, err }).toEqual({ code: 0, err: '' });
    const pretty = bundles.audit
      .trimEnd()
      .split('\n')
      .map((line) => JSON.stringify(JSON.parse(line), undefined, 2));
    expect(await findings(pretty.join('\r\n\t '), bundles.keys)).toEqual({
      code: 0,
      kind: 'audit export',
      checks: ['chain ok', 'anchor ok', 'leaf ok', 'inclusion ok', 'signature ok', 'witnesses absent'],
    });
  });

  test('identity.U1 an export with an entry dropped, swapped, inserted or cut off names the first bad one', async () => {
    const lines = bundles.audit.trimEnd().split('\n');
    const text = (changed: string[]) => changed.map((line) => `${line}\n`).join('');
    const cases = [
      [lines.toSpliced(1, 1), 'entry 2: it is missing'],
      [[lines[1], lines[0], ...lines.slice(2)], 'entry 3: it is missing'],
      [lines.toSpliced(2, 0, lines[1]!), 'entry 3: it is missing'],
      [lines.toSpliced(3, 1), 'another entry than 3'],
      [[...lines.slice(0, 4), lines[4]!, lines[3]!], 'one anchor behind them'],
      [[...lines, lines[4]!], 'one anchor behind them'],
      [lines.slice(4), 'no entry it could stand for'],
    ] as const;
    for (const [changed, sentence] of cases) {
      const { code, out } = await verify(text([...changed] as string[]), bundles.logKey);
      expect(out).toContain(sentence);
      expect(out).toMatch(/\nThe audit export is NOT proven\.\n$/);
      expect(code).toBe(1);
    }
    // The beginning is the caller's to choose: what is there is proven.
    expect((await verify(text(lines.slice(2)), bundles.logKey)).code).toBe(0);
  });

  test('an export without its anchor proves nothing', async () => {
    const lines = bundles.audit.trimEnd().split('\n');
    expect(await findings(lines.slice(0, 4).join('\n'), bundles.logKey)).toEqual({
      code: 1,
      kind: 'audit export',
      checks: ['chain ok', 'anchor absent'],
    });
  });

  test('an entry of the ledger is valid, with its payload or without', async () => {
    expect(await findings(bundles.entry, bundles.logKey)).toEqual({
      code: 0,
      kind: 'entry',
      checks: ['leaf ok', 'payload absent', 'inclusion ok', 'signature ok', 'witnesses absent'],
    });
    const payload = await file(bundles.payload);
    expect((await findings(bundles.entry, bundles.logKey, '--payload', payload)).checks[1]).toBe(
      'payload ok',
    );
    const other = await findings(bundles.entry, bundles.logKey, '--payload', await file('payload 2'));
    expect(other).toMatchObject({ code: 1, checks: expect.arrayContaining(['payload failed']) });
    const { out } = await verify(bundles.entry, bundles.logKey);
    expect(out).toContain('entry 1 is external.test x, appended at 2026-01-01T00:00:00');
  });

  test('a checkpoint is valid as a note and as a reply', async () => {
    for (const content of [bundles.note, bundles.checkpoint])
      expect(await findings(content, `# the log\n\n${bundles.logKey}\n`)).toEqual({
        code: 0,
        kind: 'checkpoint',
        checks: ['signature ok', 'witnesses absent'],
      });
  });

  test('witnesses count when they are trusted and have cosigned', async () => {
    const both = `${bundles.logKey}\n${bundles.witnessKey}\n`;
    const last = async (content: string, trust: string, ...options: string[]) => {
      const { code, checks } = await findings(content, trust, ...options);
      return `${code} ${checks.at(-1)}`;
    };
    expect(await last(bundles.cosigned, both, '--witnesses', '1')).toBe('0 witnesses ok');
    expect(await last(bundles.cosigned, bundles.keys, '--witnesses', '1')).toBe('0 witnesses ok');
    expect(await last(bundles.cosigned, both, '--witnesses', '2')).toBe('1 witnesses failed');
    expect(await last(bundles.cosigned, bundles.logKey, '--witnesses', '1')).toBe('1 witnesses failed');
    expect(await last(bundles.note, both, '--witnesses', '1')).toBe('1 witnesses failed');
    // A witness alone does not speak for the log.
    expect(await last(bundles.cosigned, bundles.witnessKey)).toBe('1 signature failed');
  });

  test('a consistency proof is valid, and refuted by the wrong size or root', async () => {
    expect(await findings(bundles.consistency, bundles.logKey)).toEqual({
      code: 0,
      kind: 'consistency proof',
      checks: [
        'consistency ok',
        ...['signature ok', 'witnesses absent'],
        ...['signature ok', 'witnesses absent'],
      ],
    });
    const reply = JSON.parse(bundles.consistency);
    const swapped = {
      proof: reply.proof,
      firstCheckpoint: reply.secondCheckpoint,
      secondCheckpoint: reply.firstCheckpoint,
    };
    expect((await findings(JSON.stringify(swapped), bundles.logKey)).checks[0]).toBe('consistency failed');
    const one = { firstCheckpoint: reply.firstCheckpoint };
    expect(await findings(JSON.stringify(one), bundles.logKey)).toMatchObject({
      code: 1,
      checks: ['consistency absent', 'signature ok', 'witnesses absent', 'signature absent'],
    });
  });

  test('keys that are not trusted prove nothing', async () => {
    expect(await findings(bundles.note, bundles.witnessKey)).toMatchObject({
      code: 1,
      checks: ['signature failed'],
    });
  });

  test.each([
    ['a file that is not there', () => verifyPath('/nowhere', bundles.logKey), /\/nowhere cannot be read/],
    ['no trust', async () => runCommand('verify', await file('{}')), /needs --trust/],
    ['trust without keys', async () => verify(bundles.note, '# none\n'), /holds none/],
    [
      'trust that is no key',
      async () => verify(bundles.note, 'a+b+c'),
      /holds "a\+b\+c", which is no Ed25519 key/,
    ],
    ['trust that is damaged JSON', async () => verify(bundles.note, '{"origin":'), /damaged or cut off/],
    ['an empty file', async () => verify('', bundles.logKey), /neither a signed note nor JSON/],
    ['prose', async () => verify('hello', bundles.logKey), /neither a signed note nor JSON/],
    ['other JSON', async () => verify('{"a":1}', bundles.logKey), /no reply of GetCheckpoint/],
    [
      'an entry of GetEntry',
      async () => verify('{"entry":{"index":"1"}}', bundles.logKey),
      /no ExportAuditResponse/,
    ],
    [
      'bytes that are no text',
      async () => verify(Uint8Array.of(0x7b, 0xff), bundles.logKey),
      /not text in UTF-8/,
    ],
    [
      'several replies',
      async () => verify(`${bundles.entry}${bundles.entry}`, bundles.logKey),
      /several replies/,
    ],
    ['a reply cut off', async () => verify(bundles.entry.slice(0, -1), bundles.logKey), /damaged or cut off/],
    [
      'a number of witnesses that is none',
      async () => verify(bundles.note, bundles.logKey, '--witnesses', 'all'),
      /--witnesses must be a whole number from 0/,
    ],
    [
      'a payload for a checkpoint',
      async () => verify(bundles.note, bundles.logKey, '--payload', await file('x')),
      /--payload goes with an entry/,
    ],
  ])('%s ends with exit code 2 and one sentence', async (_name, run, sentence) => {
    const { code, out, err } = await run();
    expect(err).toMatch(sentence);
    expect(err).toMatch(/^homeostat: [^\n]+\n$/);
    expect({ code, out }).toEqual({ code: 2, out: '' });
  });
});
