/**
 * Noise at the gRPC port of a server in a process of its own: frames that are whole but make no sense, frames that are
 * broken, and calls with bytes changed. The server answers, refuses or hangs up; it never ends, and serves others.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type Channel, openChannel } from '../../src/client/channel.ts';
import { createRandom, type Random } from '../../src/random.ts';
import { TOKEN } from '../rpc/edge-world.ts';
import { probeClient } from '../rpc/probe-contract.ts';
import { framed } from '../rpc/raw-client.ts';
import { CALL_HEADERS, END_HEADERS, END_STREAM, FRAME, frame, PREFACE } from '../rpc/raw-frames.ts';

const SEED = 20_261_130;
const CONNECTIONS = 600;
const AT_ONCE = 30;
/** Time a connection has before its client hangs up. */
const PATIENCE_MS = 150;
const at = (path: string) => fileURLToPath(new URL(path, import.meta.url));

let server: ChildProcess;
let address: string;
let channel: Channel;
beforeAll(async () => {
  server = fork(at('../rpc/slot-server.ts'), ['100', '1', 'unloaded'], {
    execArgv: ['--no-warnings', '--import', at('../support/typescript-loader.mjs')],
    stdio: ['ignore', 'inherit', 'ignore', 'ipc'],
  });
  [{ address }] = await once(server, 'message');
  channel = openChannel({ address, token: TOKEN });
});
afterAll(() => {
  channel.close();
  server.kill('SIGKILL');
});

function bytesOf(random: Random, count: number): Buffer {
  return Buffer.from(Uint8Array.from({ length: count }, () => random.below(256)));
}

/** A call that is right, but for some bytes. */
function mutatedCall(random: Random, streamId: number): Buffer {
  const message = framed(Buffer.concat([Buffer.from([0x0a, 5]), Buffer.from('hello')]));
  const call = Buffer.concat([
    frame(FRAME.HEADERS, END_HEADERS, streamId, CALL_HEADERS),
    frame(FRAME.DATA, END_STREAM, streamId, message),
  ]);
  for (let i = random.below(4); i > 0; i--) call[random.below(call.length)] = random.below(256);
  return call.subarray(0, random.below(5) === 0 ? random.below(call.length) : call.length);
}

/** A frame of some type with some flags on some stream, its length right or not. */
function anyFrame(random: Random): Buffer {
  const made = frame(
    random.below(14),
    random.below(256),
    random.below(12),
    bytesOf(random, random.below(64)),
  );
  if (random.below(4) === 0) made.writeUIntBE(random.below(1 << 24), 0, 3);
  return made;
}

/** A message of gRPC whose bytes are noise, in a call that is right. */
function noiseCall(random: Random, streamId: number): Buffer {
  const noise = bytesOf(random, random.below(200));
  const length = random.below(3) === 0 ? random.below(2 ** 31) : noise.length;
  return Buffer.concat([
    frame(FRAME.HEADERS, END_HEADERS, streamId, CALL_HEADERS),
    frame(FRAME.DATA, random.below(2), streamId, framed(noise, length)),
  ]);
}

function conversation(random: Random): Buffer {
  const parts = [random.below(10) === 0 ? bytesOf(random, 24) : PREFACE];
  for (let i = 0; i < 8; i++) {
    const make = [mutatedCall, noiseCall, anyFrame][random.below(3)]!;
    parts.push(make(random, 2 * i + 1));
  }
  return Buffer.concat(parts);
}

function say(bytes: Buffer): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect(Number(address.split(':')[1]), '127.0.0.1');
    const hangUp = setTimeout(() => socket.destroy(), PATIENCE_MS);
    socket.on('error', () => {}).resume();
    socket.on('close', () => {
      clearTimeout(hangUp);
      resolve();
    });
    socket.write(bytes);
  });
}

describe('identity.I1 fuzzed HTTP/2', () => {
  test('never ends the server, and others are served meanwhile', async () => {
    const random = createRandom(SEED);
    for (let begun = 0; begun < CONNECTIONS; begun += AT_ONCE) {
      await Promise.all(Array.from({ length: AT_ONCE }, () => say(conversation(random))));
      expect((await probeClient(channel).mirror({ text: 'here' })).text).toBe('here');
    }
    expect(server.exitCode).toBeNull();
  }, 60_000);
});
