/**
 * Calls that share one entry: those with audit BATCHED and those refused, counted per caller, method, code and reason
 * until somebody takes the sums, once a minute. A caller is a principal, or a stranger's address.
 *
 * Bounded against floods: at most `sumsMax` sums are held, of which strangers have half, so that they cannot crowd
 * principals out; whoever finds no room is counted under its code alone. Of what is taken at once at most `entriesMax`
 * remain: the smallest of strangers go under their code first, then the smallest of principals. No call is lost.
 */

/** A call as far as it is summed. */
export interface SummedCall {
  readonly principal: string;
  readonly method: string;
  readonly code: string;
  readonly reason: string;
  readonly peer: string;
}

export interface Sum extends SummedCall {
  readonly count: number;
}

export interface SumLimits {
  /** Sums held at a time, 2 or more; default 10,000. */
  readonly sumsMax: number;
  /** Sums taken at a time, 100 or more; default 1,000. */
  readonly sumEntriesMax: number;
}

/** Stands for every caller, method, reason and address. */
export const SEVERAL = '*';

/** Room for the sums by code alone: gRPC has 17 codes. */
const CODES_MAX = 17;

interface Running {
  readonly principal: string;
  readonly method: string;
  readonly code: string;
  readonly reason: string;
  /** Where all of them came from; empty once a second address is seen. */
  peer: string;
  count: number;
}

export class Sums {
  readonly #limits: SumLimits;
  #held = new Map<string, Running>();
  #strangers = 0;
  /** Calls by code alone. */
  #others = new Map<string, number>();

  constructor(limits: SumLimits) {
    this.#limits = limits;
  }

  /** Counts a call, or as many as a sum that could not be used stands for. Cost: a look into a map. */
  add(call: SummedCall, count = 1): void {
    const { principal, method, code, reason, peer } = call;
    const key = `${principal === '' ? `@${peer}` : principal}|${method}|${code}|${reason}`;
    const sum = this.#held.get(key);
    if (sum) {
      sum.count += count;
      if (sum.peer !== peer) sum.peer = '';
    } else if (principal !== SEVERAL && this.#hasRoom(principal)) {
      if (principal === '') this.#strangers++;
      this.#held.set(key, { principal, method, code, reason, peer, count });
    } else this.#addOther(code, count);
  }

  /** Sums held now, those by code alone included. */
  get size(): number {
    return this.#held.size + this.#others.size;
  }

  /** Takes everything counted so far, in the order it was first seen. */
  take(): readonly Sum[] {
    const sums = [...this.#held.values()];
    this.#held = new Map();
    this.#strangers = 0;
    const kept = this.#merge(sums);
    const others = [...this.#others].map(([code, count]) => ({
      principal: SEVERAL,
      method: SEVERAL,
      code,
      reason: SEVERAL,
      peer: SEVERAL,
      count,
    }));
    this.#others = new Map();
    return [...kept, ...others];
  }

  /** Counts under their codes what exceeds the limit, and returns the rest. */
  #merge(sums: readonly Running[]): readonly Running[] {
    const most = this.#limits.sumEntriesMax;
    if (sums.length + this.#others.size <= most) return sums;
    const isStranger = (sum: Running) => Number(sum.principal === '');
    const byWeight = [...sums].sort((a, b) => isStranger(a) - isStranger(b) || b.count - a.count);
    const merged = new Set(byWeight.slice(most - CODES_MAX));
    for (const { code, count } of merged) this.#addOther(code, count);
    return sums.filter((sum) => !merged.has(sum));
  }

  #hasRoom(principal: string): boolean {
    const { sumsMax } = this.#limits;
    return this.#held.size < sumsMax && (principal !== '' || this.#strangers < sumsMax / 2);
  }

  #addOther(code: string, count: number): void {
    this.#others.set(code, (this.#others.get(code) ?? 0) + count);
  }
}
