import { describe, expect, test } from '@jest/globals';
import { systemSecrets } from '../src/secrets.ts';

describe("the operating system's secrets", () => {
  test("have the length asked for, are the caller's own, and do not repeat", () => {
    expect(systemSecrets.bytes(0)).toHaveLength(0);
    const drawn = Array.from({ length: 100 }, () => systemSecrets.bytes(32));
    for (const bytes of drawn) {
      expect(bytes).toHaveLength(32);
      expect(bytes.buffer.byteLength).toBe(32);
    }
    expect(new Set(drawn.map((bytes) => Buffer.from(bytes).toString('hex'))).size).toBe(100);
  });
});
