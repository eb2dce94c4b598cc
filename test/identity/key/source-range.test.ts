import { BlockList, isIP, isIPv6 } from 'node:net';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { isRange, isWithin } from '../../../src/identity/key/source-range.ts';

const ipv4 = fc.ipV4();
const ipv6 = fc.oneof(
  fc.ipV6(),
  fc
    .array(fc.constantFrom('0', '0', '1', 'ffff', 'dead'), { minLength: 8, maxLength: 8 })
    .map((groups) => groups.join(':')),
  fc.constantFrom('::', '::1', '1::', 'fe80::1', '::192.0.2.1', '1:2:3:4:5:6:7::', '::2:3:4:5:6:7:8'),
);
const address = fc.oneof(ipv4, ipv6);
const range = fc.oneof(
  fc.tuple(ipv4, fc.integer({ min: 0, max: 32 })),
  fc.tuple(ipv6, fc.integer({ min: 0, max: 128 })),
);

const isMapped = (text: string) => /^(0*:){0,5}:?0*:?ffff:/i.test(text);

/** Node's own answer. Mapped addresses are left out: there it depends on how they are written. */
function nodeSays(network: string, prefix: number, text: string): boolean {
  const list = new BlockList();
  list.addSubnet(network, prefix, isIPv6(network) ? 'ipv6' : 'ipv4');
  return isIPv6(network) === isIPv6(text) && list.check(text, isIPv6(text) ? 'ipv6' : 'ipv4');
}

describe('source ranges', () => {
  test('an address lies in a range exactly when Node says so', () => {
    fc.assert(
      fc.property(range, address, ([network, prefix], text) => {
        fc.pre(!isMapped(network) && !isMapped(text));
        expect(isWithin([`${network}/${prefix}`], text)).toBe(nodeSays(network, prefix, text));
      }),
      { numRuns: 1_000 },
    );
  });

  test('every address lies in the ranges around it, and alone in the range that is itself', () => {
    fc.assert(
      fc.property(address, address, (text, other) => {
        const bits = isIPv6(text) ? 128 : 32;
        for (const prefix of [0, 1, 7, 8, 31, bits])
          if (!isMapped(text)) expect(isWithin([`${text}/${prefix}`], text)).toBe(true);
        expect(isWithin([text], text)).toBe(true);
        if (!isMapped(text) && !isMapped(other))
          expect(isWithin([text], other)).toBe(nodeSays(text, bits, other));
      }),
    );
  });

  test('text is a range exactly when Node takes its address and the prefix fits', () => {
    const texts = fc.oneof(
      address,
      fc.string({ unit: fc.constantFrom('0', '1', '2', '5', 'f', ':', '::', '.', '/', '%'), maxLength: 20 }),
    );
    fc.assert(
      fc.property(texts, (text) => {
        expect(isRange(text)).toBe(isRangeByNode(text));
      }),
      { numRuns: 2_000 },
    );
  });

  test.each([
    '',
    '/8',
    '10.0.0.0/33',
    '10.0.0.0/',
    '10.0.0.0/08',
    '10.0.0.0/8/8',
    '10.0.0',
    '::/129',
    'fe80::1%eth0',
  ])('%j is no range', (text) => {
    expect(isRange(text)).toBe(false);
    expect(isWithin([text], '10.0.0.0')).toBe(false);
  });

  test('a mapped IPv4 address is that IPv4 address, in ranges as well', () => {
    expect(isWithin(['192.0.2.0/24'], '::ffff:192.0.2.9')).toBe(true);
    expect(isWithin(['::ffff:192.0.2.0/120'], '192.0.2.9')).toBe(true);
    expect(isWithin(['::ffff:192.0.2.0/120'], '192.0.3.9')).toBe(false);
    expect(isRange('::ffff:192.0.2.0/95')).toBe(false);
    expect(isWithin(['::/0'], '192.0.2.9')).toBe(false);
  });

  test('the interface of a link-local address does not matter', () => {
    expect(isWithin(['fe80::/10'], 'fe80::1%eth0')).toBe(true);
  });

  test('no range holds what is no address', () => {
    for (const text of ['', 'localhost', '1.2.3', '%eth0'])
      expect(isWithin(['0.0.0.0/0', '::/0'], text)).toBe(false);
  });
});

function isRangeByNode(text: string): boolean {
  const [network, prefix, ...more] = text.split('/');
  if (more.length > 0 || network!.includes('%') || isIP(network!) === 0) return false;
  if (prefix === undefined) return true;
  if (!/^(0|[1-9]\d*)$/.test(prefix)) return false;
  const length = Number(prefix);
  return isIPv6(network!) ? length <= 128 && (!isMapped(network!) || length >= 96) : length <= 32;
}
