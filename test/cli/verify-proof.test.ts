/** `homeostat verify` on proofs, made by a real service and a real ledger on one store. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { create, type DescMessage, type MessageInitShape, toJson } from '@bufbuild/protobuf';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { CliFailure } from '../../src/cli/failure.ts';
import { readBundle } from '../../src/cli/verify/bundle.ts';
import { isProven, verifyBundle } from '../../src/cli/verify/checks.ts';
import { readTrust } from '../../src/cli/verify/trust.ts';
import { GetProofResponseSchema, type Proof } from '../../src/gen/homeostat/energy/v1/proof_service_pb.ts';
import {
  GetInclusionProofResponseSchema,
  GetLogKeysResponseSchema,
} from '../../src/gen/homeostat/ledger/v1/ledger_service_pb.ts';
import { createProofWorld, migrations, STREAM } from '../energy/proof/support/proof-world.ts';
import { createFakeClock } from '../support/fake-clock.ts';
import { openTestStore } from '../support/stores.ts';
import { runCommand } from './verify-world.ts';

const json = <Schema extends DescMessage>(schema: Schema, message: MessageInitShape<Schema>) =>
  JSON.stringify(toJson(schema, create(schema, message)));

/** A proof of each of two maps, the places of both, and the log's keys. */
async function makeProofs() {
  const opened = await openTestStore(migrations);
  const world = await createProofWorld({ store: opened.store, clock: createFakeClock() });
  try {
    const proofs: Proof[] = [];
    for (const last of [4, 5])
      proofs.push(
        await world.as('ada').claim(
          world.claim({
            map: { grid: { rows: 2, cols: 2, values: [1, 2, 3, last] } },
            context: world.context({ stream: STREAM }),
          }),
        ),
      );
    const masked = await world.as('ada').claim(
      world.claim({
        map: { grid: { rows: 2, cols: 2, values: [1, 2, 3, 99] }, observed: Uint8Array.of(0b0111) },
        context: world.context({ stream: STREAM }),
      }),
    );
    await world.ledger.round();
    const inclusions: string[] = [];
    for (const { ledgerIndex } of proofs)
      inclusions.push(
        json(
          GetInclusionProofResponseSchema,
          await world.ledger.rpc.getInclusionProof({ index: ledgerIndex }),
        ),
      );
    const keys = await world.ledger.rpc.getLogKeys({} as never, world.ledger.call);
    return {
      proofs,
      masked: masked.receipt,
      replies: proofs.map((proof) => json(GetProofResponseSchema, { proof })),
      inclusions,
      keys: json(GetLogKeysResponseSchema, keys),
      /** Notations by the name behind the log's own. */
      vkeys: keys.logKeys!.map(({ vkey }) => vkey!),
    };
  } finally {
    await world.close();
    await opened.dispose();
  }
}

describe('homeostat verify of a proof', () => {
  let made: Awaited<ReturnType<typeof makeProofs>>;
  let folder: string;
  let written = 0;

  beforeAll(async () => {
    made = await makeProofs();
    folder = await mkdtemp(join(tmpdir(), 'homeostat-verify-'));
  });
  afterAll(() => rm(folder, { recursive: true }));

  const file = async (content: string | Uint8Array) => {
    const path = join(folder, `file-${written++}`);
    await writeFile(path, content);
    return path;
  };
  const verify = async (content: string | Uint8Array, ...options: string[]) =>
    runCommand('verify', await file(content), '--trust', await file(made.keys), ...options);
  const checks = async (content: string | Uint8Array, ...options: string[]) => {
    const { code, out } = await verify(content, '--json', ...options);
    const { findings } = JSON.parse(out) as { findings: { check: string; outcome: string }[] };
    return [code, ...findings.map(({ check, outcome }) => `${check} ${outcome}`)];
  };

  test('a reply is valid by itself, and says what was found of what and when', async () => {
    const { code, out, err } = await verify(made.replies[0]!);
    expect(out).toContain(
      `example.org/log/proofs found a claim of plant/a VERIFIED with quality 0.9850 at 2026-01-01T00:00:00.000Z, proof ${made.proofs[0]!.proofId}`,
    );
    expect(out).toMatch(/\nabsent {2}map {6}it was not given\n/);
    expect(out).toMatch(/\nThe proof is valid\.\n$/);
    expect({ code, err }).toEqual({ code: 0, err: '' });
    const pretty = JSON.stringify(JSON.parse(made.replies[0]!), undefined, 2);
    expect(await checks(pretty)).toEqual([0, 'receipt ok', 'proof ok', 'map absent', 'ledger absent']);
  });

  test('a receipt alone is valid, with its map and its place in the ledger', async () => {
    const { receipt } = made.proofs[0]!;
    expect(await checks(receipt)).toEqual([0, 'receipt ok', 'map absent', 'ledger absent']);
    const grid = { rows: 2, cols: 2, values: [1, 2, 3, 4] };
    const raw = {
      rows: 2,
      cols: 2,
      rawValues: Buffer.from(Float32Array.of(1, 2, 3, 4).buffer).toString('base64'),
    };
    for (const map of [grid, { grid }, { grid: raw, unit: 'kJ' }]) {
      const options = [
        '--map',
        await file(JSON.stringify(map)),
        '--inclusion',
        await file(made.inclusions[0]!),
      ];
      expect(await checks(receipt, ...options)).toEqual([
        0,
        ...['receipt ok', 'map ok', 'ledger ok'],
        ...['leaf ok', 'payload ok', 'inclusion ok', 'signature ok', 'witnesses absent'],
      ]);
    }
  });

  test('energy.proof says how many cells were judged, and that other cells than the file says were not', async () => {
    const grid = { rows: 2, cols: 2, values: [1, 2, 3, 99] };
    const verifyWith = async (receipt: Uint8Array, map: object) =>
      (await verify(receipt, '--map', await file(JSON.stringify(map)))).out;
    const bits = (mask: number) => Buffer.from([mask]).toString('base64');
    const own = await verifyWith(made.masked, { grid, observed: bits(0b0111) });
    expect(own).toContain(', over the 3 cells that were observed\n');
    expect(own).toMatch(/\nok {6}map {6}it is the one observed, and 3 of 4 cells were judged\n/);
    for (const unsaid of [grid, { grid }])
      expect(await verifyWith(made.masked, unsaid)).toContain(
        '3 of 4 cells were judged, and its file does not say which\n',
      );
    for (const other of [0b1011, 0b1111])
      expect(await verifyWith(made.masked, { grid, observed: bits(other) })).toMatch(
        /\nfailed {2}map {6}other cells of it were observed\n(.*\n)*.*NOT proven/,
      );
    const whole = await verifyWith(made.proofs[0]!.receipt, { ...grid, values: [1, 2, 3, 4] });
    expect(whole).toContain(', over all 4 cells\n');
    expect(whole).toContain('it is the one observed, and every cell was judged\n');
  });

  test('another map, and the place of another proof, refute it', async () => {
    const map = await file(JSON.stringify({ rows: 2, cols: 2, values: [1, 2, 3, 5] }));
    expect(await checks(made.replies[0]!, '--map', map)).toEqual(
      expect.arrayContaining([1, 'receipt ok', 'map failed']),
    );
    for (const content of [made.replies[0]!, made.proofs[0]!.receipt])
      expect(await checks(content, '--inclusion', await file(made.inclusions[1]!))).toEqual(
        expect.arrayContaining([1, 'ledger failed', 'leaf ok', 'payload failed', 'inclusion ok']),
      );
  });

  test('a reply that does not say what its receipt says proves nothing', async () => {
    const changes: readonly ((proof: Record<string, unknown>) => void)[] = [
      (proof) => Object.assign(proof, { verdict: 'PROOF_VERDICT_REFUTED' }),
      (proof) => Object.assign(proof, { mode: 'PROOF_MODE_PREDICTION' }),
      (proof) => Object.assign(proof, { quality: 1 }),
      (proof) => Object.assign(proof, { stream: { domain: 'plant', cluster: 'b' } }),
      (proof) => delete proof['stream'],
      (proof) => Object.assign(proof, { issuedAt: '2026-01-01T00:00:00.001Z' }),
      (proof) => Object.assign(proof, { issuedAt: '2026-01-01T00:00:00.000001Z' }),
      (proof) => delete proof['issuedAt'],
      (proof) => Object.assign(proof, { proofId: made.proofs[1]!.proofId }),
      (proof) => (proof['checks'] as unknown[]).pop(),
      (proof) => Object.assign((proof['checks'] as object[])[0]!, { outcome: 'PROOF_CHECK_OUTCOME_PASS' }),
    ];
    for (const [at, change] of changes.entries()) {
      const reply = JSON.parse(made.replies[0]!);
      change(reply.proof);
      expect({ at, checks: await checks(JSON.stringify(reply)) }).toEqual({
        at,
        checks: [1, 'receipt ok', 'proof failed', 'map absent', 'ledger absent'],
      });
    }
    const elsewhere = JSON.parse(made.replies[0]!);
    elsewhere.proof.ledgerIndex = '1';
    const options = ['--inclusion', await file(made.inclusions[0]!)];
    expect(await checks(JSON.stringify(elsewhere), ...options)).toEqual(
      expect.arrayContaining([1, 'ledger failed', 'payload ok']),
    );
  });

  test('only the key for proofs signs receipts, and only a trusted one counts', async () => {
    const { receipt } = made.proofs[0]!;
    const [log, sessions, proofs] = made.vkeys;
    const codeWith = async (...keys: string[]) =>
      (await runCommand('verify', await file(receipt), '--trust', await file(keys.join('\n')))).code;
    expect(await codeWith(proofs!)).toBe(0);
    expect(await codeWith(log!, sessions!)).toBe(1);
  });

  test('energy.proof no bit of a receipt can differ', () => {
    const trust = { keys: readTrust(Buffer.from(made.keys)), witnessesMin: 0 };
    const { receipt } = made.proofs[0]!;
    const isValid = (bytes: Uint8Array) => {
      try {
        return isProven(verifyBundle(readBundle(bytes), trust));
      } catch (error) {
        if (error instanceof CliFailure) return false;
        throw error;
      }
    };
    expect(isValid(receipt)).toBe(true);
    const unnoticed: number[] = [];
    for (let bit = 0; bit < 8 * receipt.length; bit++) {
      const bent = receipt.slice();
      bent[bit >> 3]! ^= 1 << (bit & 7);
      if (isValid(bent)) unnoticed.push(bit);
    }
    expect(unnoticed).toEqual([]);
    // The same receipt inside a reply.
    const reply = JSON.parse(made.replies[0]!);
    for (const at of [5, 60, 150, 200]) {
      const bent = receipt.slice();
      bent[at]! ^= 1;
      reply.proof.receipt = Buffer.from(bent).toString('base64');
      expect(isValid(Buffer.from(JSON.stringify(reply)))).toBe(false);
    }
  });

  test.each([
    [
      'a map for a checkpoint',
      () => [made.inclusions[0]!, '--map', '{}'],
      /--map and --inclusion go with a proof/,
    ],
    [
      'a map that is none',
      () => [made.replies[0]!, '--map', '{"rows":2}'],
      /holds none: map\.grid\.cols must be/,
    ],
    ['a map in other words', () => [made.replies[0]!, '--map', '{"cells":[]}'], /holds no Grid/],
    ['two maps', () => [made.replies[0]!, '--map', '{}{}'], /the file of the map does not hold one/],
    ['a place that is none', () => [made.replies[0]!, '--inclusion', made.keys], /no reply of GetCheckpoint/],
    [
      'a proof for a place',
      () => [made.replies[0]!, '--inclusion', made.replies[0]!],
      /is no reply of GetInclusionProof/,
    ],
    [
      'a reply in other words',
      () => [made.replies[0]!.replace('"principal"', '"caller"')],
      /holds no GetProofResponse/,
    ],
  ] as const)('%s ends with exit code 2 and one sentence', async (_name, make, sentence) => {
    const [content, option, value] = make();
    const options = option === undefined ? [] : [option, await file(value!)];
    const { code, out, err } = await verify(content!, ...options);
    expect(err).toMatch(sentence);
    expect({ code, out }).toEqual({ code: 2, out: '' });
  });
});
