/** The kinds of variables that `config.ts` is a table of: what each reads, and what it says of its range. */

export interface Row<Value> {
  /** Value when the variable is unset or empty. */
  readonly fallback: Value;
  /** Reads the text; throws an Error whose message says what it must be. */
  readonly parse: (text: string) => Value;
  /** What is allowed, for the documentation. */
  readonly range: string;
  /** One sentence. */
  readonly meaning: string;
}

export function text(fallback: string, meaning: string, range = 'text'): Row<string> {
  return { fallback, parse: (given) => given, range, meaning };
}

export function address(fallback: string, meaning: string): Row<string> {
  const parse = (given: string) => {
    const match = /^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+):(\d{1,5})$/.exec(given);
    if (!match || Number(match[2]) > 65535) throw new Error('must be host:port');
    return given;
  };
  return { fallback, parse, range: 'host:port', meaning };
}

export function choice<const Value extends string>(
  fallback: Value,
  allowed: readonly Value[],
  meaning: string,
): Row<Value> {
  const parse = (given: string) => {
    const found = allowed.find((one) => one === given);
    if (found === undefined) throw new Error(`must be one of ${allowed.join(', ')}`);
    return found;
  };
  return { fallback, parse, range: allowed.join(', '), meaning };
}

export function integer(fallback: number, min: number, max: number, meaning: string): Row<number> {
  const parse = (given: string) => {
    const value = /^-?\d{1,15}$/.test(given) ? Number(given) : Number.NaN;
    if (!(value >= min && value <= max)) throw new Error(`must be a whole number ${min}..${max}`);
    return value;
  };
  return { fallback, parse, range: `${min}..${max}`, meaning };
}

export function real(fallback: number, min: number, max: number, meaning: string): Row<number> {
  const parse = (given: string) => {
    const value = /^-?\d+(\.\d+)?$/.test(given) ? Number(given) : Number.NaN;
    if (!(value >= min && value <= max)) throw new Error(`must be a number ${min}..${max}`);
    return value;
  };
  return { fallback, parse, range: `${min}..${max}`, meaning };
}

export function flag(fallback: boolean, meaning: string): Row<boolean> {
  const parse = (given: string) => {
    if (given !== 'true' && given !== 'false') throw new Error('must be true or false');
    return given === 'true';
  };
  return { fallback, parse, range: 'true, false', meaning };
}

/** Names separated by commas; each must satisfy `isOne`. */
export function list(
  isOne: (one: string) => boolean,
  range: string,
  meaning: string,
): Row<readonly string[]> {
  const parse = (given: string) => {
    const all = given.split(',').map((one) => one.trim());
    const wrong = all.find((one) => !isOne(one));
    if (wrong !== undefined) throw new Error(`must be ${range}`);
    return Object.freeze(all);
  };
  return { fallback: Object.freeze([]), parse, range, meaning };
}

/** `https://console.example.org`: scheme, host and perhaps port, as browsers send it. */
export function isOrigin(text: string): boolean {
  try {
    return new URL(text).origin === text;
  } catch {
    return false;
  }
}
