/** Stretches of a message, compared and hashed without making anything of them. `to` is exclusive. */

/** Whether `data[from, to)` are the bytes of `expected`. */
export function spanEquals(data: Uint8Array, from: number, to: number, expected: Uint8Array): boolean {
  const length = to - from;
  if (length !== expected.length) return false;
  for (let i = 0; i < length; i++) if (data[from + i] !== expected[i]) return false;
  return true;
}

/** 32-bit hash of a span (FNV-1a). */
export function spanHash(data: Uint8Array, from: number, to: number): number {
  let hash = 0x811c9dc5;
  for (let i = from; i < to; i++) hash = Math.imul(hash ^ data[i]!, 0x01000193);
  return hash;
}

const strictText = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** The text of a span; undefined when it is not UTF-8. */
export function spanText(data: Uint8Array, from: number, to: number): string | undefined {
  try {
    return strictText.decode(data.subarray(from, to));
  } catch {
    return undefined; // The decoder says "not UTF-8" by throwing.
  }
}
