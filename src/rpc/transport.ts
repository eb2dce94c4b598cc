/**
 * What grpc-js keeps to itself and the edge needs: a call as its interceptors see it, to end it with its reply; the
 * HTTP/2 stream under a call, to cut off a client that takes nothing; the HTTP/2 settings of a server, to bound
 * metadata; and its HTTP/2 sessions, to end one whose client cancels too much. The version of grpc-js is pinned, and
 * tests of any call, of the slow reader, of long metadata and of floods of canceled calls fail when these stop working.
 */
import { hash, type X509Certificate } from 'node:crypto';
import {
  constants,
  type Http2Server,
  type ServerHttp2Session,
  type ServerHttp2Stream,
  type Settings,
} from 'node:http2';
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { type Server, type ServerInterceptingCallInterface, status } from '@grpc/grpc-js';
import type { ClientCertificate, Peer } from './handler.ts';

const CALM = constants.NGHTTP2_ENHANCE_YOUR_CALM;

/**
 * Resets the stream under a streaming call, dropping what is unsent. The client sees RESOURCE_EXHAUSTED, which is what
 * gRPC makes of ENHANCE_YOUR_CALM. Harmless once the stream has ended.
 */
export function cutOff(surface: object): void {
  const { call } = surface as { readonly call: { readonly stream: ServerHttp2Stream } };
  if (!call.stream.destroyed) call.stream.close(CALM);
}

/**
 * Answers a call with its one reply and OK. What grpc-js hands to handlers sends the status when it hears that the reply
 * is written, a turn of the event loop later: with a busy server that is as long as the computation of a reply.
 */
export function replyAndEnd(surface: object, reply: Buffer): void {
  const { call } = surface as { readonly call: ServerInterceptingCallInterface };
  call.sendMessage(reply, () => {});
  call.sendStatus({ code: status.OK, details: 'OK', metadata: null });
}

/** Peers by their connection: looked up by every call, read from the socket once. */
const peers = new WeakMap<object, Peer>();

/** The other end of a call's connection. */
export function peerOf(surface: object): Peer {
  const { call } = surface as { readonly call: { readonly stream: ServerHttp2Stream } };
  const { session } = call.stream;
  if (!session) return NOWHERE; // Closed meanwhile: nothing the call does reaches anybody.
  let peer = peers.get(session);
  if (!peer) {
    peer = peerOfSocket(session.socket);
    peers.set(session, peer);
  }
  return peer;
}

const NOWHERE: Peer = { address: '', certificate: undefined };

/** The other end of a socket; its certificate where the TLS handshake has verified one. */
export function peerOfSocket(socket: Socket | TLSSocket): Peer {
  const address = socket.remoteAddress?.replace(/^::ffff:(?=\d+\.)/, '') ?? '';
  const secure = socket as Partial<TLSSocket>; // HTTP/2 hands out a proxy, which does not say what it has.
  const verified = secure.authorized === true ? secure.getPeerX509Certificate?.() : undefined;
  return { address, certificate: verified && certificateOf(verified) };
}

function certificateOf(certificate: X509Certificate): ClientCertificate {
  const names = certificate.subjectAltName?.split(', ') ?? [];
  const uris = names.filter((name) => name.startsWith('URI:')).map((name) => name.slice(4));
  return { uris, sha256: hash('sha256', certificate.raw, 'base64url') };
}

/** Bounds the metadata of a call: names and values and 32 bytes for each pair. Before the server takes connections. */
export function limitMetadata(server: Server, bytesMax: number): void {
  const { commonServerOptions } = server as unknown as {
    readonly commonServerOptions: { settings?: Settings };
  };
  commonServerOptions.settings = { ...commonServerOptions.settings, maxHeaderListSize: bytesMax };
}

/** Calls back for every session, before its first stream; once the server has all its injectors. */
export function watchSessions(server: Server, onSession: (session: ServerHttp2Session) => void): void {
  const { http2Servers } = server as unknown as { readonly http2Servers: ReadonlyMap<Http2Server, unknown> };
  for (const http2Server of http2Servers.keys()) http2Server.on('session', onSession);
}

export interface ResetLimits {
  /**
   * Calls that the client of one connection may leave unfinished at once: those it cancels, and streams of requests that
   * were answered before their end. Default 500, at most 900: at 1,000 nghttp2 turns a deaf ear.
   */
  readonly resetsMax: number;
}

/** Of these, so many become possible again each second; nghttp2 counts 33. */
const RESETS_PER_SECOND = 30;

/**
 * Ends a connection, with ENHANCE_YOUR_CALM, once its client has canceled more calls than it may: those that begin and
 * cancel call after call cost the server much and themselves nothing. nghttp2 only stops answering such a client, and
 * Node leaves the connection open. Once the server has all its injectors; `onFlood` is told of each connection.
 */
export function limitResets(
  server: Server,
  limits: ResetLimits,
  monotonicMs: () => number,
  onFlood: () => void,
): void {
  const longestMs = (limits.resetsMax / RESETS_PER_SECOND) * 1000;
  watchSessions(server, (session) => {
    /** When all of them are possible again. */
    let fullMs = 0;
    function onClose(this: ServerHttp2Stream): void {
      const isWhole = this.readableEnded && this.rstCode === constants.NGHTTP2_NO_ERROR;
      if (isWhole || this.rstCode === CALM || session.destroyed) return;
      const nowMs = monotonicMs();
      fullMs = Math.max(fullMs, nowMs) + 1000 / RESETS_PER_SECOND;
      if (fullMs - nowMs < longestMs) return;
      onFlood();
      session.goaway(CALM);
      session.destroy();
    }
    session.on('stream', (stream) => void stream.on('close', onClose));
  });
}
