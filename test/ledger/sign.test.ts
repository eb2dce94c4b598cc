/** Messages that are no notes: signed under a name of the log, by keys that anybody can look up. */
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { ledgerMigrations, messageSignatureHolds, parseVerifierKey } from '../../src/ledger/context.ts';
import { createDerivedSigner } from '../../src/ledger/note/signer.ts';
import { createFakeClock, type FakeClock } from '../support/fake-clock.ts';
import { openTestStore, type TestStore } from '../support/stores.ts';
import { createLedgerWorld, type LedgerWorld } from './ledger-world.ts';
import { createWitness } from './witness.ts';

const seed = Uint8Array.from({ length: 32 }, (_, i) => i);
const message = Buffer.from('homeostat.test.v1\0body');

describe('a message signed by the log', () => {
  let opened: TestStore;
  let clock: FakeClock;
  let world: LedgerWorld;

  beforeEach(async () => {
    opened = await openTestStore(ledgerMigrations);
    clock = createFakeClock();
    const config = { noteNames: ['sessions', 'proofs'] };
    world = createLedgerWorld({ store: opened.store, clock, config });
    await world.context.start();
  });
  afterEach(async () => {
    await world.context.stop();
    await opened.dispose();
  });

  test('is verified with the key that GetLogKeys names', async () => {
    const { ledger } = world.context;
    const signed = ledger.signBytes('proofs', message);
    expect(signed.signer).toBe('example.org/log/proofs');
    expect(signed.signature).toHaveLength(64);
    expect(ledger.signBytes('proofs', message)).toEqual(signed);
    expect(ledger.verifyBytes('proofs', message, signed)).toBe(true);
    const { logKeys } = await world.rpc.getLogKeys({} as never, world.call);
    expect(logKeys!.map(({ name }) => name)).toEqual([
      'example.org/log',
      'example.org/log/sessions',
      'example.org/log/proofs',
    ]);
    const holds = logKeys!.map(({ vkey }) =>
      messageSignatureHolds(parseVerifierKey(vkey!)!, message, signed.signature),
    );
    expect(holds).toEqual([false, false, true]);
  });

  test('is not verified when message, signature, name or signer is another', () => {
    const { ledger } = world.context;
    const signed = ledger.signBytes('proofs', message);
    const bent = signed.signature.slice();
    bent[63]! ^= 0x80;
    expect(ledger.verifyBytes('proofs', message.subarray(1), signed)).toBe(false);
    expect(ledger.verifyBytes('proofs', message, { ...signed, signature: bent })).toBe(false);
    expect(ledger.verifyBytes('proofs', message, { ...signed, signature: bent.subarray(1) })).toBe(false);
    expect(ledger.verifyBytes('proofs', message, { ...signed, signer: 'example.org/log' })).toBe(false);
    expect(ledger.verifyBytes('sessions', message, signed)).toBe(false);
    expect(() => ledger.signBytes('others', message)).toThrow('nothing is signed under the name others');
  });

  test('waits for the log to start', async () => {
    await world.context.stop();
    expect(() => world.context.ledger.signBytes('proofs', message)).toThrow(
      expect.objectContaining({ reason: 'NOT_STARTED', kind: 'UNAVAILABLE' }),
    );
  });
});

test('neither a message counts as a note nor a note as a message', () => {
  const signer = createDerivedSigner('example.org/log', 'proofs', seed);
  expect(() => signer.signBytes(Buffer.from('a text\n'))).toThrow(RangeError);
  const [, , encoded] = signer.sign('a text\n').split(' ');
  const signature = Buffer.from(encoded!, 'base64').subarray(4);
  expect(messageSignatureHolds(signer.verifier, Buffer.from('a text\n'), signature)).toBe(false);
  const witness = createWitness('witness.example', seed);
  expect(messageSignatureHolds(witness.key, message, signer.signBytes(message))).toBe(false);
});
