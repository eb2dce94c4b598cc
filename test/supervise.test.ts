import { describe, expect, test } from '@jest/globals';
import { TelemetryService } from '../src/gen/homeostat/telemetry/v1/telemetry_service_pb.ts';
import { createLogger } from '../src/observability.ts';
import { supervise } from '../src/supervise.ts';
import { createFakeClock } from './support/fake-clock.ts';

const logger = createLogger('silent');

function failing(times: number) {
  const log: string[] = [];
  return {
    log,
    services: [{ service: TelemetryService, handlers: {}, unavailable: () => ['BROKER_DOWN'] }],
    async start() {
      log.push('start');
      if (times-- > 0) throw new Error('no luck');
    },
    async stop() {
      log.push('stop');
    },
  };
}

describe('a supervised context', () => {
  test('says STARTING, then what it says itself', async () => {
    const supervised = supervise('telemetry', failing(0), { clock: createFakeClock(), logger });
    expect(supervised.services[0]!.unavailable!()).toEqual(['STARTING']);
    await supervised.start();
    expect(supervised.services[0]!.unavailable!()).toEqual(['BROKER_DOWN']);
  });

  test('that cannot start is FAULTED and started again with doubling back-off', async () => {
    const clock = createFakeClock();
    const context = failing(2);
    const supervised = supervise('telemetry', context, { clock, logger });
    await supervised.start();
    expect(supervised.services[0]!.unavailable!()).toEqual(['FAULTED']);
    await clock.advance(999);
    expect(context.log).toEqual(['start', 'stop']);
    await clock.advance(1);
    expect(context.log).toEqual(['start', 'stop', 'start', 'stop']);
    await clock.advance(1_999);
    expect(context.log).toHaveLength(4);
    await clock.advance(1);
    expect(context.log.at(-1)).toBe('start');
    expect(supervised.services[0]!.unavailable!()).toEqual(['BROKER_DOWN']);
    await supervised.stop();
    expect(context.log.at(-1)).toBe('stop');
    expect(clock.pending()).toBe(0);
  });

  test('that is stopped while FAULTED is not started again', async () => {
    const clock = createFakeClock();
    const context = failing(1);
    const supervised = supervise('telemetry', context, { clock, logger });
    await supervised.start();
    await supervised.stop();
    await clock.advance(60_000);
    expect(context.log).toEqual(['start', 'stop']);
    expect(clock.pending()).toBe(0);
  });
});
