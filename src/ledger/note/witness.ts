/**
 * Cosignatures of witnesses (C2SP tlog-cosignature): a witness signs that it saw a checkpoint, and that it is consistent
 * with all it saw before. The signature is preceded by 8 bytes of seconds since 1970, most significant first, which are
 * signed as well.
 */
export const TIME_BYTES = 8;

/** What a witness has signed. `cosignature` begins with its time. */
export function cosignedMessage(noteText: string, cosignature: Uint8Array): string {
  const view = new DataView(cosignature.buffer, cosignature.byteOffset, TIME_BYTES);
  return `cosignature/v1\ntime ${view.getBigUint64(0)}\n${noteText}`;
}
