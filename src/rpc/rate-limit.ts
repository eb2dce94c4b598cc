/**
 * Rates: a bucket of tokens per principal and method, and one of ten times that per principal; callers of public methods
 * have theirs by address. Both are looked at before either is charged, so a refusal costs nothing.
 *
 * A bucket is one number, the time at which it is full again: what is missing then flows in at its rate, and what holds
 * a minute's tokens lacks (full - now) x rate of them. A full bucket says nothing that a new one would not, so those
 * are the first to go when there are too many; while none is full, newcomers share one. Time is monotonic.
 */
import type { Clock } from '../clock.ts';
import type { AppError } from '../errors.ts';
import { identityError } from './errors.ts';
import type { Peer, Principal, RateTier } from './handler.ts';

export interface RateConfig {
  /** Tokens per minute, and at most at once, of one principal for one method: 100, 5,000 and 100,000 by default. */
  readonly tokensPerMinute: Readonly<Record<RateTier, number>>;
  /** Buckets kept; default 100,000. */
  readonly bucketsMax: number;
}

/** Decides whether a caller may make one more call now. */
export interface RateLimiter {
  /**
   * What the caller is refused with: RATE_LIMITED, with the exact wait. Undefined when the call was charged. `path` is
   * the method's, `tokens` its cost. A call that costs more than a bucket holds is let in by a full one, which owes the
   * rest: it is paid back before the next. Cost: two looks into maps.
   */
  charge(principal: Principal, peer: Peer, path: string, tokens: number): AppError | undefined;
  /** Refused calls by tier. */
  readonly limited: ReadonlyMap<RateTier, number>;
  /** Buckets kept now. */
  readonly size: number;
}

const MINUTE_MS = 60_000;
/** A principal's tokens over all methods, in those of one. */
const METHODS_FACTOR = 10;
/** Many callers may stand behind one address. */
const ADDRESS_FACTOR = 10;
/** Waits shorter than this are rounding. */
const SLACK_MS = 1e-3;

interface Bucket {
  /** Monotonic; in the past for a full one. */
  fullMs: number;
  /** Follows its principal's tier. */
  tokensPerMinute: number;
  /** Where it lies, to be taken out; none for a shared one. */
  readonly home: Buckets | undefined;
  readonly key: string;
}
type Buckets = Map<string, Bucket>;

export function createRateLimiter(config: RateConfig, clock: Pick<Clock, 'monotonicMs'>): RateLimiter {
  const byPrincipal: Buckets = new Map();
  const byMethod = new Map<string, Buckets>();
  const shared = new Map<number, Bucket>();
  const limited = new Map<RateTier, number>();
  const expiries = createExpiries(clock.monotonicMs());
  let size = 0;

  const bucketIn = (home: Buckets, key: string, tokensPerMinute: number, nowMs: number): Bucket => {
    const known = home.get(key);
    if (known) {
      known.tokensPerMinute = tokensPerMinute; // What share of it is used stays as it is.
      return known;
    }
    if (size >= config.bucketsMax) {
      const idle = expiries.takeFull(nowMs);
      if (!idle) return sharedBucket(tokensPerMinute, nowMs);
      idle.home!.delete(idle.key);
      size--;
    }
    const bucket = { fullMs: nowMs, tokensPerMinute, home, key };
    home.set(key, bucket);
    expiries.add(bucket);
    size++;
    return bucket;
  };
  const sharedBucket = (tokensPerMinute: number, nowMs: number): Bucket => {
    const bucket = shared.get(tokensPerMinute) ?? {
      fullMs: nowMs,
      tokensPerMinute,
      home: undefined,
      key: '',
    };
    shared.set(tokensPerMinute, bucket);
    return bucket;
  };
  const homeOf = (path: string): Buckets => {
    const known = byMethod.get(path);
    if (known) return known;
    const home: Buckets = new Map();
    byMethod.set(path, home);
    return home;
  };

  return {
    limited,
    get size() {
      return size;
    },
    charge(principal, peer, path, tokens) {
      const nowMs = clock.monotonicMs();
      const isNamed = principal.id !== '';
      const key = isNamed ? principal.id : `@${networkOf(peer.address)}`;
      const rate = config.tokensPerMinute[principal.tier] * (isNamed ? 1 : ADDRESS_FACTOR);
      const method = bucketIn(homeOf(path), key, rate, nowMs);
      method.fullMs = Math.max(method.fullMs, nowMs + SLACK_MS / 2); // So that it does not make room for the next.
      const whole = bucketIn(byPrincipal, key, rate * METHODS_FACTOR, nowMs);
      const waitMs = Math.max(waitOf(method, tokens, nowMs), waitOf(whole, tokens, nowMs));
      if (waitMs > SLACK_MS) {
        limited.set(principal.tier, (limited.get(principal.tier) ?? 0) + 1);
        const retryAfterMs = Math.ceil(waitMs - SLACK_MS);
        return identityError('RATE_LIMITED', { tier: principal.tier, cost: tokens }, { retryAfterMs });
      }
      take(method, tokens, nowMs);
      take(whole, tokens, nowMs);
      return undefined;
    },
  };
}

/** Time until a bucket has the tokens; at most until it is full. Negative where it has them. */
function waitOf({ fullMs, tokensPerMinute }: Bucket, tokens: number, nowMs: number): number {
  const spare = Math.max(0, tokensPerMinute - tokens);
  return fullMs - nowMs - (spare / tokensPerMinute) * MINUTE_MS;
}

function take(bucket: Bucket, tokens: number, nowMs: number): void {
  bucket.fullMs = Math.max(bucket.fullMs, nowMs) + (tokens / bucket.tokensPerMinute) * MINUTE_MS;
}

/**
 * Whose bucket an address has: an IPv4 address its own; of an IPv6 address the first 64 bits count, since whoever has one
 * has them all.
 */
function networkOf(address: string): string {
  if (!address.includes(':')) return address;
  const [left = '', right] = address.split('::');
  const head = left === '' ? [] : left.split(':');
  if (right === undefined) return head.slice(0, 4).join(':');
  const tail = right === '' ? [] : right.split(':');
  const zeros = new Array<string>(Math.max(0, 8 - head.length - tail.length)).fill('0');
  return [...head, ...zeros, ...tail].slice(0, 4).join(':');
}

/** Width of a slot of `createExpiries`, milliseconds, and how many there are: two minutes together. */
const SLOT_MS = 250;
const SLOTS = 480;

/**
 * Finds full buckets without a search. Each lies in the slot of a wheel that says when it was to be full; it is looked
 * at again when that time has come, and either is full or, charged since then, goes to a later slot. So each charge
 * pays for at most one such look, and a full one is found at most `SLOT_MS` late.
 */
function createExpiries(startMs: number) {
  const slots = Array.from({ length: SLOTS }, (): Bucket[] => []);
  /** The slot looked at, counted from the start of time: those before it are empty. */
  let tick = Math.floor(startMs / SLOT_MS);

  const add = (bucket: Bucket) => {
    const due = Math.floor(bucket.fullMs / SLOT_MS) + 1;
    slots[Math.min(due, tick + SLOTS - 1) % SLOTS]!.push(bucket);
  };
  return {
    add,
    /** Takes out a bucket that is full, but not one added just now; undefined while there is none. */
    takeFull(nowMs: number): Bucket | undefined {
      const nowTick = Math.floor(nowMs / SLOT_MS);
      tick = Math.max(tick, nowTick - SLOTS + 1); // Once around the wheel is every slot.
      for (; tick <= nowTick; tick++) {
        const slot = slots[tick % SLOTS]!;
        for (let bucket = slot.pop(); bucket; bucket = slot.pop()) {
          if (bucket.fullMs <= nowMs) return bucket;
          add(bucket);
        }
      }
      tick = nowTick;
      return undefined;
    },
  };
}
