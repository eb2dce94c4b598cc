/**
 * Whether the server takes a call on at all, before anything else is done for it: the more it is overloaded, the more
 * critical a call must be. Priorities run from 0 (first served) to 94; within a criticality callers are spread over ten
 * of them by a hash that changes every hour, so that nobody is always the first to be refused. Counts what is in flight.
 */
import type { Clock, Timer } from '../clock.ts';
import type { AppError } from '../errors.ts';
import { Criticality, CriticalitySchema } from '../gen/homeostat/options/v1/method_pb.ts';
import type { Random } from '../random.ts';
import { createConcurrencyLimit, type LatencyHistory, UPDATE_MS } from './concurrency-limit.ts';
import { edgeError } from './errors.ts';
import type { LoadSignals } from './load-signals.ts';
import { createOverload, type OverloadCause } from './overload.ts';
import { criticalityName } from './policy.ts';

/** What is known of a caller before its credentials are looked at. */
export interface Caller {
  /** What it says how critical its call is (`homeostat-criticality`); may only lower what the contract says. */
  criticality(): string | undefined;
  /** What tells it from others: its credentials as sent, or its address. */
  identity(): string;
}

export interface Admission {
  /** What a call is refused with: OVERLOADED. Undefined when it was let in, and is in flight until `leave`. */
  enter(criticality: Criticality, caller: Caller): AppError | undefined;
  /** The same for a stream, which is not in flight: it lasts as long as its client likes. */
  enterStream(criticality: Criticality, caller: Caller): AppError | undefined;
  /** A call has left. Its latency counts where it was carried out. */
  leave(history: LatencyHistory, durationMs: number, carriedOut: boolean): void;
  readonly limit: number;
  readonly inFlight: number;
  /** 0..1. */
  readonly overload: number;
  /** Lateness of the event loop as last read, milliseconds. */
  readonly loopDelayMs: number;
  /** Refused calls by criticality and cause, as `HIGH HEAP`. */
  readonly shed: ReadonlyMap<string, number>;
  start(): void;
  stop(): void;
}

export interface AdmissionDeps {
  readonly clock: Clock;
  readonly load: LoadSignals;
  /** Spreads the delays that refused callers are told. */
  readonly random: Random;
}

/** Priority of each criticality; callers add 0..9. */
const PRIORITY: ReadonlyMap<Criticality, number> = new Map([
  [Criticality.CRITICAL, 0],
  [Criticality.HIGH, 30],
  [Criticality.NORMAL, 60],
  [Criticality.BULK, 85],
]);
const SPREAD = 10;
/** Critical calls are refused only when this much over the limit is in flight. */
const CRITICAL_FACTOR = 1.2;
const HOUR_MS = 3_600_000;
const RETRY_MS = 250;
const RETRY_MS_MAX = 30_000;

export function createAdmission({ clock, load, random }: AdmissionDeps): Admission {
  const concurrency = createConcurrencyLimit();
  const overload = createOverload(load);
  const shed = new Map<string, number>();
  let inFlight = 0;
  let peak = 0;
  /** The worst since the last update. */
  let worst = 0;
  let timer: Timer | undefined;

  const refusal = (ratio: number, declared: Criticality, caller: Caller): AppError | undefined => {
    const criticality = lowered(declared, caller.criticality());
    if (criticality === Criticality.CRITICAL) {
      if (inFlight < CRITICAL_FACTOR * concurrency.value) return undefined;
    } else {
      const hour = Math.floor(clock.nowMs() / HOUR_MS);
      const priority = PRIORITY.get(criticality)! + spreadOf(`${hour} ${caller.identity()}`);
      if (priority < 100 * (1 - ratio ** 3)) return undefined;
    }
    const cause = overload.cause(inFlight, concurrency.value);
    const name = criticalityName(criticality);
    shed.set(`${name} ${cause}`, (shed.get(`${name} ${cause}`) ?? 0) + 1);
    return refuse(cause, name, ratio);
  };
  const refuse = (cause: OverloadCause, criticality: string, ratio: number) => {
    const longestMs = Math.min(RETRY_MS_MAX, RETRY_MS * 2 ** Math.ceil(6 * ratio));
    return edgeError('OVERLOADED', { cause, criticality }, { retryAfterMs: random.uniform() * longestMs });
  };
  const judge = (criticality: Criticality, caller: Caller): AppError | undefined => {
    const ratio = overload.ratio(inFlight, concurrency.value);
    if (ratio === 0) return undefined;
    worst = Math.max(worst, ratio);
    return refusal(ratio, criticality, caller);
  };

  return {
    shed,
    get limit() {
      return concurrency.value;
    },
    get inFlight() {
      return inFlight;
    },
    get overload() {
      return overload.ratio(inFlight, concurrency.value);
    },
    get loopDelayMs() {
      return overload.loopDelayMs;
    },
    enter(criticality, caller) {
      const refused = judge(criticality, caller);
      if (refused) return refused;
      inFlight++;
      if (inFlight > peak) peak = inFlight;
      return undefined;
    },
    enterStream: judge,
    leave(history, durationMs, carriedOut) {
      inFlight--;
      if (carriedOut) concurrency.observe(history, durationMs);
    },
    start() {
      timer = clock.every(UPDATE_MS, () => {
        overload.refresh(clock.monotonicMs());
        worst = Math.max(worst, overload.ratio(inFlight, concurrency.value));
        concurrency.update(peak, worst === 0);
        peak = inFlight;
        worst = 0;
      });
    },
    stop() {
      timer?.cancel();
      load.stop();
    },
  };
}

/** The less critical of what the contract and the caller say; a word that is none says nothing. */
function lowered(declared: Criticality, said: string | undefined): Criticality {
  if (said === undefined) return declared;
  const found = CriticalitySchema.values.find((value) => value.localName === said.toUpperCase());
  return found && found.number > declared ? (found.number as Criticality) : declared;
}

/** 0..9, alike for equal texts: FNV-1a of 32 bits (draft-eastlake-fnv) over their UTF-16 units, its high bits. */
function spreadOf(text: string): number {
  let value = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) value = Math.imul(value ^ text.charCodeAt(i), 0x01000193);
  return (value >>> 16) % SPREAD;
}
