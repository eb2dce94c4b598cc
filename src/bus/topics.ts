/**
 * The one table of subjects: what travels where, who publishes it, and what delivery it is promised. Subjects are
 * built here and nowhere else. Events lie on `homeostat.<context>.v1.<event>.<id>`, the id being one token, so no
 * event matches the six-token subject of telemetry.
 */
import type { DescMessage } from '@bufbuild/protobuf';
import { PriorFittedSchema } from '../gen/homeostat/diffusion/v1/diffusion_events_pb.ts';
import {
  EnergyMapUpdatedSchema,
  ForecastScoredSchema,
  ModelStageChangedSchema,
  ProofIssuedSchema,
  RegimeChangedSchema,
  StreamConfiguredSchema,
} from '../gen/homeostat/energy/v1/energy_events_pb.ts';
import {
  AuditAnchoredSchema,
  CredentialRevokedSchema,
  PrincipalChangedSchema,
  RefreshReusedSchema,
  RoleChangedSchema,
  SigningKeyRotatedSchema,
} from '../gen/homeostat/identity/v1/identity_events_pb.ts';
import {
  CheckpointPublishedSchema,
  LedgerDamagedSchema,
} from '../gen/homeostat/ledger/v1/ledger_events_pb.ts';
import {
  DefenseLevelChangedSchema,
  HealthUpdatedSchema,
  PhaseRiskAssessedSchema,
  ResilienceAlertRaisedSchema,
} from '../gen/homeostat/resilience/v1/resilience_events_pb.ts';
import {
  SessionRefusedSchema,
  SessionStateChangedSchema,
} from '../gen/homeostat/session/v1/session_events_pb.ts';
import {
  SequenceGapDetectedSchema,
  WindowClosedSchema,
} from '../gen/homeostat/telemetry/v1/telemetry_events_pb.ts';

/**
 * `recorded`: committed with the command, relayed to JetStream, delivered at least once for 7 days.
 * `transient`: core NATS, best effort.
 */
export type Delivery = 'recorded' | 'transient';

export interface Topic<Schema extends DescMessage = DescMessage> {
  readonly name: string;
  readonly schema: Schema;
  readonly context: string;
  readonly delivery: Delivery;
}

function topic<Schema extends DescMessage>(schema: Schema, delivery: Delivery): Topic<Schema> {
  const context = schema.typeName.split('.')[1]!;
  const name = schema.name.replace(/([a-z0-9])([A-Z])/g, '$1_$2').toLowerCase();
  return { name, schema, context, delivery };
}

export const topics = {
  windowClosed: topic(WindowClosedSchema, 'recorded'),
  sequenceGapDetected: topic(SequenceGapDetectedSchema, 'recorded'),
  energyMapUpdated: topic(EnergyMapUpdatedSchema, 'recorded'),
  streamConfigured: topic(StreamConfiguredSchema, 'recorded'),
  forecastScored: topic(ForecastScoredSchema, 'recorded'),
  regimeChanged: topic(RegimeChangedSchema, 'recorded'),
  modelStageChanged: topic(ModelStageChangedSchema, 'recorded'),
  proofIssued: topic(ProofIssuedSchema, 'recorded'),
  priorFitted: topic(PriorFittedSchema, 'recorded'),
  defenseLevelChanged: topic(DefenseLevelChangedSchema, 'recorded'),
  phaseRiskAssessed: topic(PhaseRiskAssessedSchema, 'recorded'),
  resilienceAlertRaised: topic(ResilienceAlertRaisedSchema, 'recorded'),
  healthUpdated: topic(HealthUpdatedSchema, 'transient'),
  sessionStateChanged: topic(SessionStateChangedSchema, 'recorded'),
  sessionRefused: topic(SessionRefusedSchema, 'transient'),
  credentialRevoked: topic(CredentialRevokedSchema, 'recorded'),
  principalChanged: topic(PrincipalChangedSchema, 'recorded'),
  roleChanged: topic(RoleChangedSchema, 'recorded'),
  signingKeyRotated: topic(SigningKeyRotatedSchema, 'recorded'),
  refreshReused: topic(RefreshReusedSchema, 'recorded'),
  auditAnchored: topic(AuditAnchoredSchema, 'recorded'),
  checkpointPublished: topic(CheckpointPublishedSchema, 'recorded'),
  ledgerDamaged: topic(LedgerDamagedSchema, 'recorded'),
} as const;

/** Subject of one event; `id` is one token (`eventId`). */
export function eventSubject(topic: Topic, id: string): string {
  return `homeostat.${topic.context}.v1.${topic.name}.${id}`;
}

/** Subject that matches every event of a topic. */
export function topicFilter(topic: Topic): string {
  return eventSubject(topic, '*');
}

/** Subject of one node's telemetry. */
export function telemetrySubject(domain: string, cluster: string, node: string): string {
  return `homeostat.telemetry.v1.${domain}.${cluster}.${encodeToken(node)}`;
}

/** Matches the telemetry of every node of a stream. */
export function telemetryFilter(domain: string, cluster: string): string {
  return `homeostat.telemetry.v1.${domain}.${cluster}.*`;
}

/** Everything a producer may publish as telemetry. */
export const TELEMETRY_FILTER = 'homeostat.telemetry.v1.*.*.*';

/** Subject of one dead letter of telemetry; the id is its sequence in the TELEMETRY stream. */
export function deadLetterSubject(sequence: number): string {
  return `homeostat.telemetry.v1.dead_letter.${sequence}`;
}

/** Matches every dead letter of telemetry. */
export const DEAD_LETTER_FILTER = 'homeostat.telemetry.v1.dead_letter.*';

/** Subject of one dead event: the consumer that could not take it, and its sequence in the EVENTS stream. */
export function deadEventSubject(durable: string, sequence: number): string {
  return `homeostat.bus.v1.dead_event.${durable}-${sequence}`;
}

/** Matches every dead event. */
export const DEAD_EVENT_FILTER = 'homeostat.bus.v1.dead_event.*';

/** Writes any byte outside A-Z a-z 0-9 _ - as =XX, so that a name becomes one subject token. */
export function encodeToken(name: string): string {
  if (/^[A-Za-z0-9_-]+$/.test(name)) return name;
  return Array.from(new TextEncoder().encode(name), (byte) => {
    const character = String.fromCharCode(byte);
    return /[A-Za-z0-9_-]/.test(character)
      ? character
      : `=${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  }).join('');
}

/** Reads what `encodeToken` wrote; undefined when the token is not of that form. */
export function decodeToken(token: string): string | undefined {
  if (!/^(?:[A-Za-z0-9_-]|=[0-9A-F]{2})+$/.test(token)) return undefined;
  if (!token.includes('=')) return token;
  const bytes: number[] = [];
  for (let i = 0; i < token.length; i++) {
    if (token[i] === '=') {
      bytes.push(Number.parseInt(token.slice(i + 1, i + 3), 16));
      i += 2;
    } else bytes.push(token.charCodeAt(i));
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(Uint8Array.from(bytes));
  } catch {
    return undefined; // Not UTF-8: no name of ours is written like that.
  }
}
