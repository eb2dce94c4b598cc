/**
 * The README's calls, and those of docs/ledger.md, run as printed by a shell against a real server, in a folder laid out
 * as the README assumes. Only the two default addresses are replaced, since another server may hold them, and `npm run`
 * and `npx` by what they find.
 */
import { execFile, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { eventually } from '../support/eventually.ts';
import { startWorld, type World } from '../support/world.ts';

const run = promisify(execFile);
const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
const readme = readFileSync(join(root, 'README.md'), 'utf8');
const ledgerDocs = readFileSync(join(root, 'docs', 'ledger.md'), 'utf8');
const hasGrpcurl = spawnSync('grpcurl', ['-version']).status === 0;

/** The shell block after a marker, as printed. */
function block(name: string, document = readme): string {
  const found = new RegExp(`<!-- ${name} -->\\n\`\`\`sh\\n([\\s\\S]*?)\`\`\``).exec(document);
  if (!found) throw new Error(`the document has no block ${name}`);
  return found[1]!;
}

describe('the README', () => {
  let world: World;
  let folder = '';

  beforeAll(async () => {
    world = await startWorld();
    folder = mkdtempSync(join(tmpdir(), 'homeostat-readme-'));
    symlinkSync(world.dataDir, join(folder, '.homeostat'));
    for (const name of ['node_modules', 'examples', 'src', 'package.json'])
      symlinkSync(join(root, name), join(folder, name));
  }, 60_000);
  afterAll(async () => {
    await world?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  /** Runs blocks in one shell; resolves with what they print, whatever the last exit code. */
  const shell = async (...scripts: string[]) => {
    const script = scripts
      .join('\n')
      .replaceAll('127.0.0.1:50051', world.server.grpcAddress)
      .replaceAll('npm run -s homeostat --', `node ${join(root, 'dist', 'cli', 'main.js')}`)
      .replaceAll('npx buf', join(root, 'node_modules', '.bin', 'buf'));
    const { stdout, stderr } = await run('bash', ['-c', script], { cwd: folder }).catch(
      (error: { stdout: string; stderr: string }) => error,
    );
    return stdout + stderr;
  };
  const functions = block('calls').split('\n')[0]!;

  test('calls list services, health, a state, a map and the health of the fleet', async () => {
    const printed = await shell(block('calls'));
    expect(printed).toContain('homeostat.session.v1.SessionService/CreateSession');
    expect(printed).toContain('"status": "SERVING"');
    expect(printed).toContain('"spatialEntropy": 1.279854225833');
    expect(printed).toContain('"outcome": "BATCH_OUTCOME_STORED"');
    expect(printed).toContain('"level": 1');
    const map = await eventually(
      () => shell(functions, block('calls').split('\n\n')[3]!.split('\n').slice(-2).join('\n')),
      (text) => text.includes('MAP_MODE_PHYSICAL'),
    );
    expect(map).toContain('1124.99');
  }, 60_000);

  test('a user logs in and may do what its role says; a key does what it is for; an export proves itself', async () => {
    const printed = await shell(functions, block('users'), block('key'), block('audit'));
    expect(printed).toContain('"username": "ann"');
    expect(printed).toContain('"level": 1');
    expect(printed.match(/"code": "[a-z_]+"/g)).toEqual(['"code": "permission_denied"']);
    expect(printed).toContain('NO_PERMISSION: this needs permission user.read');
    expect(printed).toContain('The audit export is valid.');
  }, 60_000);

  test('an entry is appended to the ledger and proven without the server', async () => {
    await shell(functions, block('ledger', ledgerDocs));
    const printed = await eventually(
      () => shell(functions, block('ledger', ledgerDocs).split('\n')[0]!, block('prove', ledgerDocs)),
      (text) => text.includes('is valid'),
    );
    expect(printed).toContain('The entry is valid.');
  }, 60_000);

  test('one line of JSON is accepted, and a broken one is kept with its reason', async () => {
    const line = block('produce').trim().split('\n').at(-1)!;
    await shell(line, line.replace('{"cpu":0.97}', '{"cpu":"high"}'));
    const printed = await eventually(
      () => shell(functions, block('rejected')),
      (text) => text.includes('homeostat.telemetry.v1.lab.live.n1') && text.includes('"accepted": "1"'),
    );
    expect(printed).toContain('REJECT_REASON_MALFORMED');
  }, 60_000);

  test('a map is forecast, and maps are drawn, to the same bits each time', async () => {
    const once = await shell(functions, block('next'));
    expect(once).toContain('FORECAST_BASIS_HISTORY');
    expect(once.match(/"rows": 16/g)).toHaveLength(1);
    expect(await shell(functions, block('next'))).toBe(once);
  }, 60_000);

  test('a claim is proven, and its receipt verified without the server', async () => {
    const printed = await shell(functions, block('audit').split('\n')[0]!, block('proof'), 'cat proof.json');
    expect(printed).toContain('"verdict": "PROOF_VERDICT_VERIFIED"');
    expect(printed).toContain('The proof is valid.');
  }, 60_000);

  test('the series that slows down is warned of', async () => {
    const printed = await shell(functions, block('warning'));
    expect(printed).toContain('"overallSeverity": "PHASE_SEVERITY_IMMINENT"');
    expect(printed).toContain('RATE_INDUCED');
  }, 60_000);

  test('a busy fleet refuses a session, with cause, level and when to try again', async () => {
    await shell(functions, block('refused').split('\ncall')[0]!);
    await eventually(
      () => shell(functions, block('refused').split('\n')[3]!),
      (text) => text.includes('"level": 5'),
    );
    const printed = await eventually(
      () => shell(functions, block('refused').split('\n\n')[1]!),
      (text) => text.includes('ADMISSION_REFUSED'),
    );
    expect(printed).toMatch(/resource_exhausted/);
    expect(printed).toContain('DEFENSE_LEVEL');
  }, 60_000);

  (hasGrpcurl ? test : test.skip)(
    'grpcurl lists the services (skipped where grpcurl is not installed)',
    async () => {
      const command = /`(grpcurl [^`]+)`/.exec(readme)![1]!;
      expect(await shell(command)).toContain('homeostat.energy.v1.EnergyService');
    },
  );
});
