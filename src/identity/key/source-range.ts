/**
 * Ranges of addresses that a key is taken from, written as an address or in CIDR notation (RFC 4632, RFC 4291). An IPv4
 * address mapped into IPv6 (`::ffff:192.0.2.1`) is that IPv4 address.
 */

interface Address {
  /** 32 for IPv4, 128 for IPv6. */
  readonly bits: number;
  readonly value: bigint;
}

interface Range extends Address {
  /** How many of the first bits must agree. */
  readonly prefix: number;
}

const IPV4 = /^(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?:\.(?!$)|$)){4}$/;
const GROUP = /^[0-9a-f]{1,4}$/i;
const GROUPS = 8;
const MAPPED = 0xffffn;

/** Whether an address lies in one of these ranges. Text that is no address lies in none. */
export function isWithin(ranges: readonly string[], address: string): boolean {
  const [bare] = address.split('%'); // A link-local address names its interface.
  const at = parseAddress(bare!);
  return at !== undefined && ranges.some((text) => holds(parseRange(text), at));
}

/** Whether a text is an address or a range of addresses. */
export function isRange(text: string): boolean {
  return parseRange(text) !== undefined;
}

function holds(range: Range | undefined, address: Address): boolean {
  if (range?.bits !== address.bits) return false;
  const free = BigInt(range.bits - range.prefix);
  return range.value >> free === address.value >> free;
}

function parseRange(text: string): Range | undefined {
  const [address, prefix, ...more] = text.split('/');
  const from = more.length === 0 ? parseAddress(address!) : undefined;
  if (!from || prefix === undefined) return from && { ...from, prefix: from.bits };
  if (!/^(0|[1-9]\d{0,2})$/.test(prefix)) return undefined;
  // The prefix counts the bits of the address as it is written.
  const length = from.bits === 32 && address!.includes(':') ? Number(prefix) - 96 : Number(prefix);
  return length >= 0 && length <= from.bits ? { ...from, prefix: length } : undefined;
}

function parseAddress(text: string): Address | undefined {
  if (IPV4.test(text)) return { bits: 32, value: joined(text.split('.').map(Number), 8n) };
  const groups = groupsOf(text);
  if (!groups) return undefined;
  const value = joined(groups, 16n);
  return value >> 32n === MAPPED ? { bits: 32, value: value & 0xffff_ffffn } : { bits: 128, value };
}

/** The eight groups of an IPv6 address. */
function groupsOf(text: string): number[] | undefined {
  const halves = text.split('::').map((half) => (half === '' ? [] : half.split(':')));
  if (halves.length > 2) return undefined;
  const last = halves.at(-1)!;
  const tail = last.at(-1);
  if (tail !== undefined && IPV4.test(tail)) {
    const value = Number(joined(tail.split('.').map(Number), 8n));
    last.splice(-1, 1, (value >>> 16).toString(16), (value & 0xffff).toString(16));
  }
  const given = halves.flat();
  if (!given.every((group) => GROUP.test(group))) return undefined;
  const missing = GROUPS - given.length;
  if (halves.length === 1 ? missing !== 0 : missing < 1) return undefined;
  const [head, rest = []] = halves;
  return [...head!, ...Array<string>(missing).fill('0'), ...rest].map((group) => Number.parseInt(group, 16));
}

function joined(parts: readonly number[], bits: bigint): bigint {
  return parts.reduce((value, part) => (value << bits) | BigInt(part), 0n);
}
