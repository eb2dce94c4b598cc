/**
 * A gRPC edge whose handlers need one of a few slots for a fixed time, as calls to a database would: what it can do per
 * second is known. Run in a process of its own: `node --import <loader> slot-server.ts <slots> <milliseconds> [unloaded]`.
 * Tells its parent its address, and its memory every half second. `unloaded`: how busy the machine is does not count.
 */
import { delay, systemClock } from '../../src/clock.ts';
import { createLogger, createMetrics } from '../../src/observability.ts';
import { createRandom } from '../../src/random.ts';
import { NO_AUDIT } from '../../src/rpc/audit.ts';
import { UNLOADED, watchLoad } from '../../src/rpc/load-signals.ts';
import { createRpcServer } from '../../src/rpc/serve.ts';
import { rpcConfig, verifier } from './edge-world.ts';
import { probeBinding } from './probe-contract.ts';

const [slots = 1, durationMs = 1] = process.argv.slice(2, 4).map(Number);
const isUnloaded = process.argv[4] === 'unloaded';

/** Calls that wait for a slot, oldest first. */
const waiting: (() => void)[] = [];
let free = slots;

async function work(): Promise<{ text: string }> {
  if (free > 0) free--;
  else await new Promise<void>((resolve) => waiting.push(resolve));
  await delay(systemClock, durationMs);
  const next = waiting.shift();
  if (next) next();
  else free++;
  return { text: 'done' };
}

const metrics = createMetrics();
const server = createRpcServer({
  config: { ...rpcConfig, tokensPerMinute: { FREE: 1e9, PRO: 1e9, ENTERPRISE: 1e9 } },
  clock: systemClock,
  logger: createLogger('info'),
  metrics,
  bindings: [probeBinding({ echo: work, beat: work, mirror: (request) => request })],
  verifier,
  audit: NO_AUDIT,
  load: isUnloaded ? UNLOADED : watchLoad(() => []),
  random: createRandom(1),
  createRequestId: () => 'request',
  unavailable: () => [],
});
const address = await server.start();
server.markServing();
process.send!({ address });

const level = (text: string, name: string) => Number(new RegExp(`^${name} (.+)$`, 'm').exec(text)?.[1] ?? 0);
systemClock.every(500, async () => {
  const text = await metrics.exposition();
  process.send!({
    rssBytes: process.memoryUsage().rss,
    limit: level(text, 'homeostat_rpc_limit'),
    overload: level(text, 'homeostat_overload_ratio'),
    loopDelaySeconds: level(text, 'homeostat_event_loop_delay_seconds'),
  });
});
