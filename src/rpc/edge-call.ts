/**
 * One call under way. Invariant: it gets exactly one status, whoever is first: its handler (`finish`, `fail`) or the
 * edge (`stop`: deadline, client cancel, slow reader, shutdown). What its handler does afterwards goes nowhere. The
 * AbortSignal, the request id and the listener for cancellation are made only when somebody asks for the signal.
 */
import { hash } from 'node:crypto';
import { Metadata, type ServerUnaryCall, status } from '@grpc/grpc-js';
import { AppError, describeError } from '../errors.ts';
import { Audit } from '../gen/homeostat/options/v1/method_pb.ts';
import type { Tx } from '../store/store.ts';
import type { Caller } from './admission.ts';
import { type AuditRecord, isSummed } from './audit.ts';
import { NOBODY } from './authenticate.ts';
import { countDuration } from './call-counts.ts';
import type { Edge } from './edge.ts';
import { edgeError } from './errors.ts';
import { isHealth } from './gate.ts';
import type { Call, Peer, Principal } from './handler.ts';
import type { Method } from './method.ts';
import { type CallStatus, toAppError, toStatus } from './status.ts';
import { peerOf } from './transport.ts';

/** What grpc-js's four kinds of call have in common. */
export type Surface = Pick<
  ServerUnaryCall<Buffer, Buffer>,
  'metadata' | 'cancelled' | 'getDeadline' | 'sendMetadata'
> & { once(event: 'cancelled', listener: () => void): unknown };

const TRACEPARENT = /^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/;

/** A timer may fire that much before its time by the wall clock. */
const TIMER_SLACK_MS = 2;

/** Faults of the server, as opposed to refusals. */
const FAULTS: ReadonlySet<status> = new Set([status.INTERNAL, status.DATA_LOSS, status.UNKNOWN]);

export class EdgeCall implements Call, Caller {
  readonly method: Method;
  principal: Principal = NOBODY;
  /** Whether the call has its status. */
  settled = false;
  /** Whether admission counts it as in flight. */
  admitted = false;
  /** Bytes handed to the transport that the client has not taken. */
  unsentBytes = 0;
  /** Called once the call has its status, where somebody waits for the client to read. */
  onSettled: (() => void) | undefined;

  private readonly edge: Edge;
  private readonly surface: Surface;
  private readonly reject: (status: CallStatus) => void;
  private readonly startedMs: number;
  private readonly expiresMs: number;
  private controller: AbortController | undefined;
  private watching = false;
  /** Why the handler should end early, once it should. */
  private abortReason: AppError | undefined;
  private writeExpiresMs = Number.POSITIVE_INFINITY;
  private onAbort: (() => void)[] | undefined;
  private id: string | undefined;
  /** Whether the call has its entry of the audit trail, or needs none of its own. */
  private audited: boolean;

  /** `reject` ends the call on the wire with a status other than OK. */
  constructor(edge: Edge, method: Method, surface: Surface, reject: (status: CallStatus) => void) {
    this.edge = edge;
    this.method = method;
    this.surface = surface;
    this.reject = reject;
    this.startedMs = edge.clock.monotonicMs();
    const { deadlineMs, deadlineMaxMs } = edge.limits;
    // A deadline the client brings is kept by grpc-js; here it is only bounded.
    const patienceMs = surface.getDeadline() === Number.POSITIVE_INFINITY ? deadlineMs : deadlineMaxMs;
    this.expiresMs = method.kind === 'unary' ? this.startedMs + patienceMs : Number.POSITIVE_INFINITY;
    this.audited = method.policy.audit !== Audit.REQUIRED;
    edge.opened(this);
  }

  get peer(): Peer {
    return peerOf(this.surface);
  }

  /** Metadata of the request; the first value of a name in lower case, where that is text. */
  header(name: string): string | undefined {
    const value = this.surface.metadata.get(name)[0];
    return typeof value === 'string' ? value : undefined;
  }

  criticality(): string | undefined {
    return this.header('homeostat-criticality');
  }

  identity(): string {
    return this.header('authorization') ?? this.peer.address;
  }

  async audit(tx: Tx, resource: string): Promise<void> {
    await this.edge.audit.record(tx, this.auditRecord(resource));
    tx.afterCommit(() => {
      this.audited = true;
    });
  }

  /** Commits the entry a REQUIRED call must have before its reply; undefined where there is nothing to do. */
  ensureAudited(): Promise<void> | undefined {
    if (this.audited) return undefined;
    this.audited = true;
    return this.edge.audit.commit(this.auditRecord(''));
  }

  get requestId(): string {
    this.id ??= this.edge.createRequestId();
    return this.id;
  }

  get traceparent(): string | undefined {
    const given = this.header('traceparent');
    return given !== undefined && TRACEPARENT.test(given) ? given : undefined;
  }

  get signal(): AbortSignal {
    if (!this.controller) {
      this.controller = new AbortController();
      if (this.abortReason) this.controller.abort(this.abortReason);
      else this.watchCancel();
    }
    return this.controller.signal;
  }

  /** Sends response metadata; before the first reply. */
  sendHeader(name: string, value: string): void {
    const metadata = new Metadata();
    metadata.set(name, value);
    this.surface.sendMetadata(metadata);
  }

  /** Ends the call as soon as the client gives it up or its own deadline passes, not only when its handler is done. */
  watchCancel(): void {
    if (this.watching) return;
    this.watching = true;
    if (this.surface.cancelled) this.stop(this.cancelError());
    // It is emitted at the end of every call, also of one that was answered.
    else
      this.surface.once('cancelled', () => {
        if (!this.settled) this.stop(this.cancelError());
      });
  }

  /** Calls back when the call is to end early; at once when it already is. */
  whenAborted(callback: () => void): void {
    if (this.abortReason) callback();
    else if (this.onAbort) this.onAbort.push(callback);
    else this.onAbort = [callback];
  }

  throwIfAborted(): void {
    if (!this.settled && this.surface.cancelled) this.stop(this.cancelError());
    if (this.abortReason) throw this.abortReason;
  }

  /** A message went to the transport: the client has to take it in time. */
  writing(bytes: number): void {
    const { unsentBytesMax, stallMs } = this.edge.limits;
    this.unsentBytes = bytes;
    this.writeExpiresMs =
      this.edge.clock.monotonicMs() + stallMs * Math.max(1, Math.ceil(bytes / unsentBytesMax));
  }

  written(): void {
    this.unsentBytes = 0;
    this.writeExpiresMs = Number.POSITIVE_INFINITY;
  }

  /** Ends the call when a time limit of it has passed. */
  sweep(nowMs: number): void {
    if (nowMs >= this.expiresMs) this.stop(edgeError('DEADLINE', {}));
    else if (nowMs >= this.writeExpiresMs)
      this.stop(edgeError('SLOW_READER', { unsent_bytes: this.unsentBytes }, { retryAfterMs: -1 }));
  }

  /** Asks a stream to end by itself; unary calls finish undisturbed. */
  drain(reason: AppError): void {
    if (this.method.kind !== 'unary') this.abort(reason);
  }

  /** Ends the call now. */
  stop(error: AppError): void {
    if (this.settled) return;
    this.settle(status[error.kind], error);
    this.reject(toStatus(error));
    this.abort(error);
  }

  /** The handler is done. Whether it may send its reply, or OK. */
  finish(): boolean {
    if (this.settled) return false;
    if (this.abortReason) {
      this.stop(this.abortReason); // A drained stream ended early: its client must not take that for the end.
      return false;
    }
    if (this.surface.cancelled) {
      this.stop(this.cancelError());
      return false;
    }
    this.settle(status.OK, undefined);
    return true;
  }

  /** The handler threw, or a check before it did. */
  fail(thrown: unknown): void {
    if (!this.settled) {
      const cause = isAbortError(thrown) ? (this.abortReason ?? thrown) : thrown;
      this.stop(toAppError(cause, () => this.requestId));
    } else if (!(thrown instanceof AppError) && !isAbortError(thrown)) {
      const fields = { request: this.requestId, method: this.method.path, cause: describeError(thrown) };
      this.edge.logger.warn(fields, 'handler failed after its call had ended');
    }
  }

  private abort(reason: AppError): void {
    if (this.abortReason) return;
    this.abortReason = reason;
    this.controller?.abort(reason);
    for (const callback of this.onAbort ?? []) callback();
  }

  private cancelError(): AppError {
    const passed = Number(this.surface.getDeadline()) <= this.edge.clock.nowMs() + TIMER_SLACK_MS;
    return edgeError(passed ? 'DEADLINE' : 'CANCELLED', {});
  }

  private settle(code: status, error: AppError | undefined): void {
    const { method, edge } = this;
    this.settled = true;
    const durationMs = edge.clock.monotonicMs() - this.startedMs;
    method.counts.byCode[code]!++;
    if (method.kind === 'unary') countDuration(method.counts, durationMs);
    const carriedOut = (code === status.OK || code === status.DEADLINE_EXCEEDED) && !isHealth(method.policy);
    edge.closed(this, error, durationMs, carriedOut);
    if (isSummed(method.policy, status[code]))
      edge.audit.count(this.auditedCall(status[code], error?.reason ?? ''));
    this.onSettled?.();
    const isSlow = method.kind === 'unary' && durationMs > edge.limits.slowMs;
    if (error || isSlow || method.policy.audit === Audit.REQUIRED) this.log(code, durationMs, error);
  }

  private auditRecord(resource: string): AuditRecord {
    const isDigested = 'request' in this.surface && !this.method.holdsSecret;
    const request = isDigested ? (this.surface.request as Buffer) : undefined;
    return {
      ...this.auditedCall('OK', ''),
      resource,
      requestDigest: request ? new Uint8Array(hash('sha256', request, 'buffer')) : new Uint8Array(),
      requestId: this.requestId,
    };
  }

  private auditedCall(code: string, reason: string) {
    const method = this.method.path.slice(1);
    return { principal: this.principal.id, method, code, reason, peer: this.peer.address };
  }

  private log(code: status, durationMs: number, error: AppError | undefined): void {
    const fields = {
      request: this.requestId,
      trace: this.traceparent?.slice(3, 35),
      principal: this.principal.id || undefined,
      method: this.method.path,
      code: status[code],
      duration_ms: Math.round(durationMs * 10) / 10,
      domain: error?.domain,
      reason: error?.reason,
    };
    if (error && FAULTS.has(code))
      this.edge.logger.error({ ...fields, err: error.cause ?? error }, 'call failed');
    else if (error) this.edge.logger.info({ ...fields, text: error.message }, 'call refused');
    else this.edge.logger.info(fields, 'call answered');
  }
}

/** What waits on an aborted signal throws. */
function isAbortError(thrown: unknown): boolean {
  return thrown instanceof Error && thrown.name === 'AbortError';
}
