/** Importing what witnesses have signed: what is taken, and everything that is not. */
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { ledgerMigrations, parseVerifierKey, verifyCheckpoint } from '../../src/ledger/context.ts';
import { formatNote } from '../../src/ledger/note/note.ts';
import { createSigner } from '../../src/ledger/note/signer.ts';
import type { Store } from '../../src/store/store.ts';
import { createFakeClock, type FakeClock } from '../support/fake-clock.ts';
import { describeOnStores, type TestDatabase } from '../support/stores.ts';
import { CONFIG, countingSecrets, createLedgerWorld, type LedgerWorld } from './ledger-world.ts';
import { createWitness } from './witness.ts';

const seed = (first: number) => Uint8Array.from({ length: 32 }, (_, i) => first + i);
const ada = createWitness('ada.example/w', seed(40));
const bob = createWitness('bob.example/w', seed(80));
const stranger = createWitness('eve.example/w', seed(120));
const SECONDS = 1_700_000_000;

describeOnStores('cosignatures', (engine) => {
  let database: TestDatabase;
  let store: Store;
  let clock: FakeClock;
  let world: LedgerWorld;
  let text: string;
  let note: string;

  const add = (...lines: readonly string[]) => note + lines.map((line) => `${line}\n`).join('');
  const refusal = (given: string) => world.rpc.importCosignature(given).then(String, (error) => error);

  beforeEach(async () => {
    database = await engine.createDatabase();
    store = await database.open(ledgerMigrations);
    clock = createFakeClock();
    world = createLedgerWorld({ store, clock, config: { witnesses: [ada.key.vkey, bob.key.vkey] } });
    await world.append('test.entry', 'a', '1');
    await world.context.start();
    ({ note } = await world.rpc.getCheckpoint());
    text = note.slice(0, note.indexOf('\n\n') + 1);
  });
  afterEach(async () => {
    await world.context.stop();
    expect(clock.pending()).toBe(0);
    await database.dispose();
  });

  test('lines of known witnesses are stored once, audited, served with the note, and verify offline', async () => {
    expect(await world.rpc.importCosignature(add(ada.cosign(text, SECONDS)))).toBe(1);
    expect(await world.rpc.importCosignature(add(ada.cosign(text, SECONDS + 1)))).toBe(0);
    const both = add(stranger.cosign(text, SECONDS), bob.cosign(text, SECONDS), ada.cosign(text, SECONDS));
    expect(await world.rpc.importCosignature(both)).toBe(1);
    expect(world.audited).toEqual(['checkpoint/1', 'checkpoint/1', 'checkpoint/1']);
    const served = (await world.rpc.getCheckpoint()).note;
    expect(served).toBe(add(ada.cosign(text, SECONDS), bob.cosign(text, SECONDS)));
    expect((await world.rpc.getInclusionProof({ index: 0n })).checkpoint.note).toBe(served);
    const { logKeys, witnesses } = await world.rpc.getLogKeys({} as never, world.call);
    expect(witnesses!.map(({ name }) => name)).toEqual(['ada.example/w', 'bob.example/w']);
    const trusted = [...logKeys!, ...witnesses!].map(({ vkey }) => parseVerifierKey(vkey!)!);
    expect(verifyCheckpoint(served, trusted, 2)).toMatchObject({ valid: true, witnesses: 2 });
    expect(await world.context.scrub()).toEqual([]);
  });

  test('a note without a known witness names those who signed', async () => {
    expect(await refusal(add(stranger.cosign(text, SECONDS)))).toMatchObject({
      reason: 'WITNESS_NOT_FOUND',
      kind: 'NOT_FOUND',
      metadata: { names: 'eve.example/w' },
    });
    expect(await refusal(note)).toMatchObject({ reason: 'WITNESS_NOT_FOUND', metadata: { names: '' } });
    const renamed = createWitness('ada.example/w', seed(3)).cosign(text, SECONDS);
    expect(await refusal(add(renamed))).toMatchObject({ reason: 'WITNESS_NOT_FOUND' });
  });

  test('one line that does not hold keeps all of them out', async () => {
    const wrong = bob.cosign(text, SECONDS, SECONDS + 1);
    expect(await refusal(add(ada.cosign(text, SECONDS), wrong))).toMatchObject({
      reason: 'COSIGNATURE_INVALID',
      kind: 'INVALID_ARGUMENT',
      metadata: { detail: 'the signature of bob.example/w does not hold' },
    });
    expect(await refusal(add(ada.cosign('other text\n', SECONDS)))).toMatchObject({
      reason: 'COSIGNATURE_INVALID',
    });
    expect((await world.rpc.getCheckpoint()).note).toBe(note);
    expect(world.audited).toEqual([]);
  });

  test('anything but a checkpoint of this log as it was published is refused', async () => {
    const log = createSigner(CONFIG.origin, countingSecrets.bytes(32));
    const signed = (other: string, by = log) =>
      formatNote(other, [by.sign(other), ada.cosign(other, SECONDS)]);
    const [origin, , root] = text.split('\n');
    const details: unknown[] = [];
    for (const given of [
      'not a note',
      signed('one line\n'),
      signed(`example.org/other\n1\n${root}\n`, createSigner('example.org/other', seed(0))),
      signed(`${origin}\n2\n${root}\n`),
      signed(`${origin}\n18446744073709551615\n${root}\n`),
      signed(`${origin}\n1\n${root!.replace(/^./, (first) => (first === 'A' ? 'B' : 'A'))}\n`),
      formatNote(text, [log.sign('other\n'), ada.cosign(text, SECONDS)]),
    ]) {
      const error = (await refusal(given)) as { reason: string; metadata: { detail: string } };
      expect(error.reason).toBe('COSIGNATURE_INVALID');
      details.push(error.metadata.detail);
    }
    expect(details).toEqual([
      'the text is not a signed note',
      'the note is not a checkpoint of example.org/log',
      'the note is not a checkpoint of example.org/log',
      'no checkpoint of size 2 was published',
      'no checkpoint of size 18446744073709551615 was published',
      'the note is not the checkpoint of size 1 that was published',
      'the signature of example.org/log does not hold',
    ]);
    expect((await world.rpc.getCheckpoint()).note).toBe(note);
  });

  test('lines stay when their witness is no longer configured', async () => {
    await world.rpc.importCosignature(add(ada.cosign(text, SECONDS)));
    await world.context.stop();
    world = createLedgerWorld({ store, clock });
    await world.context.start();
    expect((await world.rpc.getCheckpoint()).note).toBe(add(ada.cosign(text, SECONDS)));
    expect(await refusal(add(bob.cosign(text, SECONDS)))).toMatchObject({ reason: 'WITNESS_NOT_FOUND' });
  });
});
