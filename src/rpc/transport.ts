/**
 * What grpc-js keeps to itself and the edge needs: the HTTP/2 stream under a call, to cut off a client that takes
 * nothing, and the HTTP/2 settings of a server, to bound metadata. The version of grpc-js is pinned, and tests of the
 * slow reader and of long metadata fail when these stop working.
 */
import { constants, type ServerHttp2Stream, type Settings } from 'node:http2';
import type { Server } from '@grpc/grpc-js';

/**
 * Resets the stream under a streaming call, dropping what is unsent. The client sees RESOURCE_EXHAUSTED, which is what
 * gRPC makes of ENHANCE_YOUR_CALM. Harmless once the stream has ended.
 */
export function cutOff(surface: object): void {
  const { call } = surface as { readonly call: { readonly stream: ServerHttp2Stream } };
  if (!call.stream.destroyed) call.stream.close(constants.NGHTTP2_ENHANCE_YOUR_CALM);
}

/** Bounds the metadata of a call: names and values and 32 bytes for each pair. Before the server takes connections. */
export function limitMetadata(server: Server, bytesMax: number): void {
  const { commonServerOptions } = server as unknown as {
    readonly commonServerOptions: { settings?: Settings };
  };
  commonServerOptions.settings = { ...commonServerOptions.settings, maxHeaderListSize: bytesMax };
}
