/** ProofService on both engines: what is issued, kept, chained, listed and verified, by one server or several. */
import { createHash, sign } from 'node:crypto';
import { timestampMs } from '@bufbuild/protobuf/wkt';
import { expect, test } from '@jest/globals';
import { gridDigest } from '../../../src/energy/map/digest.ts';
import { idText, parseReceipt } from '../../../src/energy/proof/receipt.ts';
import { Regime } from '../../../src/gen/homeostat/energy/v1/energy_service_pb.ts';
import {
  type Proof,
  ProofCheckKind,
  ProofCheckKindSchema,
  ProofCheckOutcome,
  ProofCheckOutcomeSchema,
  ProofMode,
  ProofVerdict,
} from '../../../src/gen/homeostat/energy/v1/proof_service_pb.ts';
import { describeOnStores } from '../../support/stores.ts';
import { bodyOf, FORECAST_ID, forecastOf, GRID, hex, NOBODY, useProofSuite } from './support/proof-suite.ts';
import { DIGEST_1234, type ProofWorld, STREAM } from './support/proof-world.ts';

const outcomes = (proof: Proof) =>
  Object.fromEntries(
    proof.checks
      .filter(({ outcome }) => outcome !== ProofCheckOutcome.NOT_APPLICABLE)
      .map(({ kind, outcome }) => [
        ProofCheckKindSchema.value[kind]!.localName,
        ProofCheckOutcomeSchema.value[outcome]!.localName,
      ]),
  );

describeOnStores('ProofService', (engine) => {
  const suite = useProofSuite(engine);

  test('a claim that holds is VERIFIED, kept, told and audited, and its receipt is in the ledger', async () => {
    const ada = suite.world.as('ada');
    const proof = await ada.claim(
      suite.world.claim({ context: suite.world.context({ stream: STREAM, claimedTotal: 10 }) }),
    );
    expect(proof).toMatchObject({
      mode: ProofMode.CLAIM,
      verdict: ProofVerdict.VERIFIED,
      stream: STREAM,
      principal: 'ada',
      ledgerIndex: 0n,
    });
    expect(timestampMs(proof.issuedAt!)).toBe(suite.clock.nowMs());
    expect(proof.checks).toHaveLength(10);
    expect(outcomes(proof)).toEqual({ ENERGY_BUDGET: 'PASS', REGIME: 'PASS', PROVENANCE: 'PASS' });
    // s = 1 - 0.5 (0.1 / 0.5)^2 = 0.98 with weight 3 of 7.
    expect(proof.quality).toBeCloseTo(0.98 ** (3 / 7), 12);
    const body = bodyOf(proof);
    expect(body).toMatchObject({
      mode: ProofMode.CLAIM,
      verdict: ProofVerdict.VERIFIED,
      qualityPpb: Math.round(1e9 * proof.quality),
      ...STREAM,
      claimedRegime: Regime.EQUILIBRIUM,
      horizon: 0,
      modelVersion: 3,
      durabilityClass: 'SYNCED',
      capturedAtMs: BigInt(suite.clock.nowMs()),
      issuedAtMs: BigInt(suite.clock.nowMs()),
      outcomes: proof.checks.map(({ kind, outcome }) => kind * 4 + outcome),
    });
    expect(idText(body.proofId)).toBe(proof.proofId);
    expect(hex(body.observationDigest)).toBe(DIGEST_1234);
    expect(body.observedCount).toBe(4);
    for (const empty of [
      body.observedDigest,
      body.submitterKey,
      body.referenceDigest,
      body.previousReceiptHash,
      body.parentProofId,
      body.forecastId,
    ])
      expect(empty).toHaveLength(0);
    expect(await ada.get(proof.proofId)).toEqual(proof);
    expect(suite.world.issued).toMatchObject([
      {
        proofId: proof.proofId,
        verdict: ProofVerdict.VERIFIED,
        qualityPpb: body.qualityPpb,
        observationDigest: body.observationDigest,
        issuedAt: proof.issuedAt,
      },
    ]);
    expect(suite.world.audited).toEqual([`proof/${proof.proofId}`]);
    await suite.world.ledger.round();
    const entry = await suite.world.ledger.rpc.getEntry(0);
    expect(entry).toMatchObject({ kind: 'energy.proof', key: proof.proofId, payload: proof.receipt });
  });

  test('of a stream that is warming up nothing else can be claimed, and nothing else is refuted', async () => {
    const ada = (await suite.open({ isWarmingUp: true })).as('ada');
    const context = () => suite.world.context({ stream: STREAM });
    const claimed = await ada.claim(suite.world.claim({ context: context() }));
    expect(claimed.verdict).toBe(ProofVerdict.INCONCLUSIVE);
    expect(outcomes(claimed)).not.toHaveProperty('REGIME');
    const warming = suite.world.claim({ context: context(), claimedRegime: Regime.WARMING_UP });
    expect((await ada.claim(warming)).verdict).toBe(ProofVerdict.VERIFIED);
  });

  test('a prediction that came true is VERIFIED, with what it was told of before and after', async () => {
    const context = suite.world.context({
      budget: { before: { rows: 2, cols: 2, values: [4, 3, 2, 1] } },
      bounds: { least: 0 },
      claimedEntropy: 1.279854,
      claimedDigest: Buffer.from(DIGEST_1234, 'hex'),
    });
    const proof = await suite.world.as('ada').predict(suite.world.prediction({ context }));
    expect(proof).toMatchObject({ mode: ProofMode.PREDICTION, verdict: ProofVerdict.VERIFIED });
    expect(proof.stream).toBeUndefined();
    expect(outcomes(proof)).toEqual({
      ENERGY_BUDGET: 'PASS',
      ENTROPY_PRODUCTION: 'PASS',
      SPECTRUM: 'PASS',
      POINTWISE: 'PASS',
      BOUNDS: 'PASS',
      SMOOTHNESS: 'PASS',
      PROVENANCE: 'PASS',
    });
    const body = bodyOf(proof);
    expect(hex(body.referenceDigest)).toBe(hex(gridDigest(Float32Array.of(1, 2, 3, 4.1), 2, 2)));
    expect(body).toMatchObject({ horizon: 1, modelVersion: 0, domain: '', cluster: '' });
  });

  test('a claim names the map before as its reference', async () => {
    const before = { rows: 2, cols: 2, values: [4, 3, 2, 1.5] };
    const proof = await suite.world
      .as('ada')
      .claim(suite.world.claim({ context: suite.world.context({ budget: { before } }) }));
    expect(hex(bodyOf(proof).referenceDigest)).toBe(hex(gridDigest(Float32Array.of(4, 3, 2, 1.5), 2, 2)));
    expect(proof.verdict).toBe(ProofVerdict.REFUTED);
    expect(proof.checks[0]).toMatchObject({ outcome: ProofCheckOutcome.FAIL, detail: '0.5 vanished' });
  });

  test('a forecast of the server is proven by its interval and window, against the threshold of its stream', async () => {
    const forecasting = await suite.open({ forecasts: [forecastOf(suite.clock)], q95: 0.2 });
    const { predicted: _, ...request } = forecasting.prediction({ forecastId: FORECAST_ID });
    const proof = await forecasting.as('ada').predict(request);
    expect(proof).toMatchObject({ verdict: ProofVerdict.VERIFIED, stream: STREAM });
    expect(outcomes(proof)).toMatchObject({ INTERVAL: 'PASS', POINTWISE: 'PASS' });
    expect(proof.checks[ProofCheckKind.POINTWISE - 1]!.threshold).toBe(0.2);
    expect(bodyOf(proof)).toMatchObject({ horizon: 2, modelVersion: 7 });
    expect(idText(bodyOf(proof).forecastId)).toBe(FORECAST_ID);
    await suite.clock.advance(1);
    const late = { ...request, idempotencyKey: 'late', context: forecasting.context(), horizon: 2 };
    late.observed = { grid: { ...GRID, values: [1, 2, 3, 4.2] } };
    const missed = await forecasting.as('ada').predict(late);
    expect(missed.verdict).toBe(ProofVerdict.REFUTED);
    expect(missed.checks.at(-1)!.detail).toBe('it was captured outside the window that was foretold');
  });

  test('energy.proof a receipt says how much of a map was judged, and no other filler or mask makes it a new one', async () => {
    const ada = suite.world.as('ada');
    const of = (values: readonly number[], mask?: number) => ({
      grid: { ...GRID, values: [...values] },
      ...(mask !== undefined && { observed: Uint8Array.of(mask) }),
    });
    const claim = (map: ReturnType<typeof of>) =>
      ada.claim(suite.world.claim({ map, context: suite.world.context({ stream: STREAM }) }));
    const proof = await claim(of([1, 2, 3, 99], 0b0111));
    expect(proof.verdict).toBe(ProofVerdict.VERIFIED);
    const body = bodyOf(proof);
    expect(body.observedCount).toBe(3);
    // Written out: prefix, sides, cells with the last one at 0, mask.
    const preimage = Buffer.concat([
      Buffer.from('homeostat.observed.v1\0'),
      Buffer.from('0200000002000000', 'hex'),
      Buffer.from('0000803f000000400000404000000000', 'hex'),
      Buffer.from('07', 'hex'),
    ]);
    expect(hex(body.observedDigest)).toBe(createHash('sha256').update(preimage).digest('hex'));
    for (const again of [of([1, 2, 3, 98], 0b0111), of([1, 2, 3, 99], 0b1011), of([1, 2, 3, 99])])
      await expect(claim(again)).rejects.toMatchObject({
        reason: 'OBSERVATION_REPLAYED',
        metadata: { proof_id: proof.proofId },
      });
    expect((await claim(of([1, 2, 4, 99], 0b0111))).verdict).toBe(ProofVerdict.VERIFIED);
    const hidden = await claim(of([5, 6, 7, 8], 0b0001));
    expect(hidden).toMatchObject({ verdict: ProofVerdict.INCONCLUSIVE });
    expect(bodyOf(hidden).observedCount).toBe(1);
    const verified = async (map: ReturnType<typeof of>) => (await ada.verify(proof.receipt, map)).failures;
    expect(await verified(of([1, 2, 3, 99], 0b0111))).toEqual([]);
    expect(await verified(of([1, 2, 3, 99]))).toEqual([]);
    expect(await verified(of([1, 2, 3, 99], 0b1111))).toEqual(['other cells of the map were observed']);
    expect(await verified(of([1, 2, 3, 98], 0b0111))).toEqual(['it is of another map']);
  });

  test('an observation signed by its submitter is proven with the signature', async () => {
    // RFC 8032, section 7.1, test 1.
    const seed = Buffer.from('9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60', 'hex');
    const key = {
      key: Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), seed]),
      format: 'der' as const,
      type: 'pkcs8' as const,
    };
    const publicKey = Buffer.from('d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a', 'hex');
    const context = suite.world.context();
    const message = Buffer.concat([
      Buffer.from('homeostat.observation.v1\0'),
      Buffer.from(DIGEST_1234, 'hex'),
      context.nonce!,
    ]);
    const signed = { ...context, submitterSignature: { publicKey, signature: sign(null, message, key) } };
    const other = { ...signed, nonce: new Uint8Array(16).fill(255) };
    expect((await suite.world.as('bob').claim(suite.world.claim({ context: other }))).verdict).toBe(
      ProofVerdict.REFUTED,
    );
    expect((await suite.world.as('ada').claim(suite.world.claim({ context: signed }))).verdict).toBe(
      ProofVerdict.VERIFIED,
    );
  });

  test('receipts of a stream are a chain, and a proof may follow another', async () => {
    const proofs: Proof[] = [];
    for (const last of [4, 5, 6]) {
      const parent = proofs.at(-1)?.proofId;
      const context = suite.world.context({ stream: STREAM, ...(parent && { parentProofId: parent }) });
      const map = { grid: { ...GRID, values: [1, 2, 3, last] } };
      proofs.push(await suite.world.as('ada').claim(suite.world.claim({ map, context })));
      // Of no stream, or another: not of this chain.
      await suite.world
        .as('ada')
        .claim(suite.world.claim({ map: { grid: { ...GRID, values: [9, 9, 9, last] } } }));
    }
    expect(proofs.map(({ verdict }) => verdict)).toEqual(proofs.map(() => ProofVerdict.VERIFIED));
    const hashes = proofs.map(({ receipt }) => hex(parseReceipt(receipt)!.hash));
    expect(proofs.map((proof) => hex(bodyOf(proof).previousReceiptHash))).toEqual(['', hashes[0], hashes[1]]);
    expect(idText(bodyOf(proofs[2]!).parentProofId)).toBe(proofs[1]!.proofId);

    const context = suite.world.context({ parentProofId: proofs[0]!.proofId });
    const astray = await suite.world.as('ada').claim(suite.world.claim({ context }));
    expect(astray).toMatchObject({ verdict: ProofVerdict.REFUTED, quality: 0 });
    expect(astray.checks.at(-1)!.detail).toBe('the proof it follows is of another stream');
  });

  test('the doubtful is INCONCLUSIVE and may be tried again, the improbable REFUTED', async () => {
    let probability = 0.3;
    const doubting = await suite.open({ probability: () => probability });
    const verdict = async () => (await doubting.as('ada').claim(doubting.claim())).verdict;
    expect(await verdict()).toBe(ProofVerdict.INCONCLUSIVE);
    probability = 0.05;
    expect(await verdict()).toBe(ProofVerdict.REFUTED);
    probability = 0.95;
    expect(await verdict()).toBe(ProofVerdict.VERIFIED);
  });

  test('energy.proof of two servers on one database one verifies an observation, and neither breaks the chain', async () => {
    const store2 = await suite.database.open();
    const other = await suite.open({ store: store2 });
    const map = (last: number) => ({ grid: { ...GRID, values: [1, 2, 3, last] } });
    const rounds = 6;
    for (let round = 0; round < rounds; round++) {
      const tries = [suite.world, other, suite.world, other].map((on) =>
        on
          .as(`somebody-${round}`)
          .claim(on.claim({ map: map(round), context: on.context({ stream: STREAM }) })),
      );
      const settled = await Promise.allSettled(tries);
      const won = settled.filter(({ status }) => status === 'fulfilled');
      const lost = settled.flatMap((one) => (one.status === 'rejected' ? [one.reason.reason] : []));
      expect([won.length, lost]).toEqual([1, Array(3).fill('OBSERVATION_REPLAYED')]);
    }
    // Proofs of one stream that are not of one observation.
    await Promise.all(
      Array.from({ length: 8 }, (_, at) => {
        const on = at % 2 === 0 ? suite.world : other;
        const context = on.context({ stream: STREAM });
        return on.as('ada').claim(on.claim({ map: map(100 + at), context }));
      }),
    );
    const { proofs } = await other.as('ada').list({ stream: STREAM, page: { pageSize: 100 } });
    expect(proofs).toHaveLength(rounds + 8);
    const previous = new Map(proofs.map((proof) => [hex(bodyOf(proof).previousReceiptHash), proof]));
    let followed = 0;
    for (let link = ''; previous.has(link); followed++)
      link = hex(parseReceipt(previous.get(link)!.receipt)!.hash);
    expect(followed).toBe(proofs.length);
    // Either says of the other's receipts that they stand.
    for (const { receipt } of proofs) expect((await other.as('bob').verify(receipt)).valid).toBe(true);
  });

  test('energy.proof what was issued stands after a restart', async () => {
    const request = suite.world.claim({ context: suite.world.context({ stream: STREAM }) });
    const proof = await suite.world.as('ada').claim(request);
    await suite.restart();
    expect(await suite.world.as('ada').get(proof.proofId)).toEqual(proof);
    expect(await suite.world.as('ada').claim(request)).toEqual(proof);
    expect((await suite.world.as('bob').verify(proof.receipt, { grid: GRID })).valid).toBe(true);
    await expect(
      suite.world.as('ada').claim(suite.world.claim({ context: suite.world.context({ stream: STREAM }) })),
    ).rejects.toMatchObject({ reason: 'OBSERVATION_REPLAYED' });
  });

  test('a proof that was never issued is not found', async () => {
    await expect(suite.world.as('ada').get(NOBODY)).rejects.toMatchObject({
      reason: 'PROOF_NOT_FOUND',
      kind: 'NOT_FOUND',
      metadata: { proof_id: NOBODY },
    });
  });

  test('proofs are listed newest first, page by page, by stream, span and verdict', async () => {
    const made: Proof[] = [];
    for (let at = 0; at < 7; at++) {
      // Two in each millisecond.
      if (at % 2 === 1) await suite.clock.advance(1);
      const context = suite.world.context(at % 3 === 0 ? {} : { stream: STREAM });
      const claimedRegime = at === 4 ? Regime.CHAOTIC : Regime.EQUILIBRIUM;
      const map = { grid: { ...GRID, values: [1, 2, 3, at] } };
      made.push(await suite.world.as('ada').claim(suite.world.claim({ map, context, claimedRegime })));
    }
    const newest = [...made].reverse().map(({ proofId }) => proofId);
    const ids = async (request: Parameters<ReturnType<ProofWorld['as']>['list']>[0]) =>
      (await suite.world.as('bob').list(request)).proofs.map(({ proofId }) => proofId);
    expect(await ids({})).toEqual(newest);
    const paged: string[] = [];
    for (let pageToken = ''; ; ) {
      const page = await suite.world.as('bob').list({ page: { pageSize: 2, pageToken } });
      paged.push(...page.proofs.map(({ proofId }) => proofId));
      pageToken = page.nextPageToken;
      if (pageToken === '') break;
    }
    expect(paged).toEqual(newest);
    const of = (places: readonly number[]) => places.map((at) => made[at]!.proofId);
    expect(await ids({ stream: STREAM })).toEqual(of([5, 4, 2, 1]));
    expect(await ids({ stream: { ...STREAM, cluster: 'unknown' } })).toEqual([]);
    expect(await ids({ verdict: ProofVerdict.REFUTED })).toEqual(of([4]));
    const [start, end] = [made[1]!.issuedAt!, made[5]!.issuedAt!];
    expect(await ids({ range: { start, end } })).toEqual(of([4, 3, 2, 1]));
    const ever = { start: { seconds: -(2n ** 62n), nanos: 0 }, end: { seconds: 2n ** 62n, nanos: 1 } };
    expect(await ids({ range: ever })).toEqual(newest);
    for (const pageToken of ['x', '1.', `1.${NOBODY}z`, `-1.${NOBODY}`])
      await expect(suite.world.as('bob').list({ page: { pageToken } })).rejects.toMatchObject({
        violations: [{ field: 'page.page_token' }],
      });
  });

  test('a receipt is verified by form, signature, what is kept, and the map', async () => {
    const bob = suite.world.as('bob');
    const { receipt } = await suite.world.as('ada').claim(suite.world.claim());
    expect(await bob.verify(receipt)).toMatchObject({
      valid: true,
      failures: [],
      body: bodyOf({ receipt } as Proof),
    });
    expect((await bob.verify(receipt, { grid: GRID })).valid).toBe(true);
    const another = await bob.verify(receipt, { grid: { ...GRID, values: [1, 2, 3, 5] } });
    expect(another).toMatchObject({ valid: false, failures: ['it is of another map'] });
    expect(another.body).toBeDefined();
    const bent = receipt.slice();
    bent[10]! ^= 1;
    expect(await bob.verify(bent)).toEqual({
      valid: false,
      failures: ['its signature is not by this server'],
    });
    expect(await bob.verify(receipt.subarray(1))).toEqual({
      valid: false,
      failures: ['it is not a receipt'],
    });
    // Signed, though never committed.
    const signed: Uint8Array[] = [];
    const failing = await suite.open({
      ledger: {
        async append(_tx, _kind, _key, bytes) {
          signed.push(bytes);
          throw new Error('no');
        },
      },
    });
    const map = { grid: { ...GRID, values: [1, 2, 3, 5] } };
    await expect(failing.as('ada').claim(failing.claim({ map }))).rejects.toThrow('no');
    expect(await bob.verify(signed[0]!, map)).toMatchObject({
      valid: false,
      failures: ['no proof that was issued has it'],
    });
  });
});
