/**
 * From a telemetry message to a proof that is verified without the server: telemetry becomes maps, maps have a regime
 * and a forecast, the forecast comes true, and the receipt of that stands up to anybody with the log's keys.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type DescMessage, type MessageShape, toJson } from '@bufbuild/protobuf';
import { timestampFromMs, timestampMs } from '@bufbuild/protobuf/wkt';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { ForecastBasis, Regime } from '../../src/gen/homeostat/energy/v1/energy_service_pb.ts';
import { ModelStage } from '../../src/gen/homeostat/energy/v1/feedback_service_pb.ts';
import {
  GetProofResponseSchema,
  type Proof,
  ProofCheckKind,
  ProofCheckOutcome,
  ProofVerdict,
} from '../../src/gen/homeostat/energy/v1/proof_service_pb.ts';
import {
  GetInclusionProofResponseSchema,
  GetLogKeysResponseSchema,
} from '../../src/gen/homeostat/ledger/v1/ledger_service_pb.ts';
import { createRandom } from '../../src/random.ts';
import { runCommand } from '../cli/verify-world.ts';
import { eventually } from '../support/eventually.ts';
import { startWorld, type World } from '../support/world.ts';

const stream = { domain: 'fleet', cluster: 'ring' };
const WINDOW_MS = 10_000;
/** Recent, so that what is observed is not a day old when it is proven. */
const START_MS = Math.floor(Date.now() / WINDOW_MS) * WINDOW_MS - 7_200_000;
const ROWS = 4;
const COLS = 6;
const WINDOWS = 160;

describe('from a telemetry message to a proof verified offline', () => {
  let world: World;
  let folder: string;
  let sequence = 0;
  const random = createRandom(11);
  /** What each node's power keeps doing: it wanders around 100 W and is drawn back. */
  const drift = new Float64Array(ROWS * COLS);

  beforeAll(async () => {
    world = await startWorld();
    folder = mkdtempSync(join(tmpdir(), 'homeostat-journey-'));
  }, 60_000);
  afterAll(async () => {
    await world?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  /** Two samples of every node in the next window. */
  const window = async () => {
    const baseTime = timestampFromMs(START_MS + sequence * WINDOW_MS);
    sequence++;
    for (let cell = 0; cell < drift.length; cell++) {
      drift[cell] = 0.9 * drift[cell]! + random.normal();
      const node = `n${String(cell).padStart(2, '0')}`;
      const watts = 100 + 10 * Math.floor(cell / COLS) + 2 * drift[cell]!;
      await world.send({
        sourceId: node,
        epoch: 1,
        sequence,
        ...stream,
        node,
        baseTime,
        metrics: [{ name: 'power', unit: 'W' }],
        metricIndex: [0, 0],
        offsetMs: [0, 5_000],
        values: [watts, watts],
        labels: { 'homeostat.row': String(Math.floor(cell / COLS)), 'homeostat.col': String(cell % COLS) },
      });
    }
  };
  /** The map of a window, once it is made. */
  const mapOf = async (startMs: number) => {
    const { map } = await eventually(
      () => world.clients.energy.getMap({ stream }),
      (answer) => timestampMs(answer.map!.start!) >= startMs,
    );
    return map!;
  };
  const file = <Schema extends DescMessage>(name: string, schema: Schema, message: MessageShape<Schema>) => {
    const path = join(folder, name);
    writeFileSync(path, JSON.stringify(toJson(schema, message)));
    return path;
  };

  let forecastId: string;
  let proof: Proof;

  test('1. telemetry becomes maps with a regime', async () => {
    for (let at = 0; at < WINDOWS; at++) await window();
    const map = await mapOf(START_MS + (WINDOWS - 2) * WINDOW_MS);
    expect(map.grid).toMatchObject({ rows: ROWS, cols: COLS });
    expect(map.posterior).toHaveLength(5);
    expect(map.posterior.reduce((sum, { probability }) => sum + probability, 0)).toBeCloseTo(1, 12);
    const { regime, posterior, mapCount } = await world.clients.energy.classify({ stream });
    expect({ regime, posterior }).toEqual({ regime: map.regime, posterior: map.posterior });
    expect(regime).not.toBe(Regime.WARMING_UP);
    expect(mapCount).toBe(64);
  }, 60_000);

  test('2. the stream is forecast by its one model, and the forecast is kept', async () => {
    const told = await world.clients.energy.predict({ stream });
    expect(told).toMatchObject({ basis: ForecastBasis.STREAM, calibrated: true, modelVersion: 1 });
    expect(told.posterior).toHaveLength(5);
    expect(told.approved).toBe(told.refusals.length === 0);
    forecastId = told.forecastId;
    expect((await world.clients.energy.predict({ stream })).forecastId).toBe(forecastId);
    const { model } = await world.clients.feedback.getModel({ stream });
    expect(model).toMatchObject({ stage: ModelStage.ACTIVE, modelVersion: 1 });
    expect(model!.card!.scoredCount).toBeGreaterThan(100n);
  });

  test('3. what came is proven to be what was foretold', async () => {
    await window();
    const map = await mapOf(START_MS + (WINDOWS - 1) * WINDOW_MS);
    const request = {
      idempotencyKey: 'journey',
      observed: { grid: map.grid!, observed: map.observed },
      forecastId,
      context: { stream, capturedAt: map.end!, nonce: Buffer.from('0123456789abcdef') },
    };
    proof = (await world.clients.proofs.provePrediction(request)).proof!;
    const failed = proof.checks.filter(({ outcome }) => outcome === ProofCheckOutcome.FAIL);
    expect(failed).toEqual([]);
    expect(proof.verdict).toBe(ProofVerdict.VERIFIED);
    const pointwise = proof.checks.find(({ kind }) => kind === ProofCheckKind.POINTWISE)!;
    expect(pointwise.value).toBeLessThan(pointwise.threshold);

    const again = await world.clients.proofs.provePrediction(request);
    expect(again.proof).toEqual(proof);
    await expect(
      world.clients.proofs.provePrediction({
        ...request,
        idempotencyKey: 'other',
        context: { ...request.context, nonce: Buffer.from('fedcba9876543210') },
      }),
    ).rejects.toMatchObject({ code: 'ALREADY_EXISTS', reason: 'OBSERVATION_REPLAYED' });
    await world.clients.feedback.reportOutcome({
      idempotencyKey: 'came',
      stream,
      at: map.start!,
      map: { grid: map.grid!, observed: map.observed },
    });
  });

  test('4. the receipt is verified without the server', async () => {
    const inclusion = await eventually(
      () =>
        world.clients.ledger.getInclusionProof({ index: proof.ledgerIndex }).then(
          (answer) => answer,
          () => undefined,
        ),
      (answer) => answer !== undefined,
    );
    const keys = file('keys.json', GetLogKeysResponseSchema, await world.clients.ledger.getLogKeys({}));
    const kept = file('inclusion.json', GetInclusionProofResponseSchema, inclusion!);
    const reply = await world.clients.proofs.getProof({ proofId: proof.proofId });
    const handed = file('proof.json', GetProofResponseSchema, reply);
    const offline = await runCommand('verify', handed, '--trust', keys, '--inclusion', kept);
    expect(offline).toMatchObject({ code: 0, err: '' });
    expect(offline.out).toMatch(/VERIFIED|is valid/);

    const forged = { ...reply, proof: { ...reply.proof!, receipt: reply.proof!.receipt.slice() } };
    forged.proof.receipt[20]! ^= 1;
    const bent = file('forged.json', GetProofResponseSchema, forged);
    expect((await runCommand('verify', bent, '--trust', keys)).code).not.toBe(0);
  });
});
