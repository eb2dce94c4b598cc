/** What a stream is called. */

export interface StreamName {
  readonly domain: string;
  readonly cluster: string;
}

/** One string per stream. */
export function streamKey({ domain, cluster }: StreamName): string {
  return `${domain}.${cluster}`;
}
