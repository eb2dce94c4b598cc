/**
 * Follows a stream on its server for people to see: maps and health as they are streamed, the account twice a second.
 * A stream that breaks is opened again; nothing here decides anything.
 */
import { timestampMs } from '@bufbuild/protobuf/wkt';
import type { Clients } from '../client/client.ts';
import { type Clock, delay } from '../clock.ts';
import type { EnergyMap } from '../gen/homeostat/energy/v1/energy_service_pb.ts';
import type { HealthReport, PhaseRisk } from '../gen/homeostat/resilience/v1/resilience_service_pb.ts';
import type { Grid } from '../gen/homeostat/type/v1/grid_pb.ts';
import { type MapView, NO_RISK, type RiskView, type Series } from './live-state.ts';
import { isObserved } from './maps-summary.ts';
import { type Account, accountOf, EMPTY_ACCOUNT, ingestReport, type StreamName } from './stream-account.ts';

/** What is known now; the fields are replaced, never changed inside. */
export interface Seen {
  level: number;
  utilization: number | undefined;
  ceiling: number | undefined;
  heldUntilMs: number | undefined;
  risk: RiskView;
  /** Event time of the newest report on health, milliseconds. */
  judgedMs: number | undefined;
  map: MapView | undefined;
  mapCount: number;
  account: Account;
  readonly series: readonly Series[];
}

export interface FleetWatch {
  readonly seen: Readonly<Seen>;
  /** Resolves when the signal has aborted and everything is closed. */
  readonly ended: Promise<void>;
}

export interface FleetWatchOptions {
  readonly clients: Clients;
  readonly stream: StreamName;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** The level of defense of the fleet became another one, at an event time. */
  readonly onLevel: (from: number, to: number, utilization: number | undefined, atMs: number) => void;
  /** So did its phase risk. */
  readonly onRisk: (from: RiskView, to: RiskView, atMs: number) => void;
  readonly onFirstMap: () => void;
}

const SERIES_LENGTH = 240;
const REOPEN_MS = 250;
const ACCOUNT_MS = 500;

export function watchFleet(options: FleetWatchOptions): FleetWatch {
  const { clients, stream, clock, signal } = options;
  const utilization: number[] = [];
  const energy: number[] = [];
  const surprise: number[] = [];
  const entropy: number[] = [];
  const seen: Seen = {
    level: 1,
    utilization: undefined,
    ceiling: undefined,
    heldUntilMs: undefined,
    risk: NO_RISK,
    judgedMs: undefined,
    map: undefined,
    mapCount: 0,
    account: EMPTY_ACCOUNT,
    series: [
      { name: 'utilization', values: utilization },
      { name: 'energy of the map', logarithmic: true, values: energy },
      { name: 'surprise', logarithmic: true, values: surprise },
      { name: 'spatial entropy, share of its maximum', values: entropy },
    ],
  };
  const onHealth = (health: HealthReport) => {
    const level = health.defense?.level ?? 1;
    seen.utilization = health.utilization?.value;
    seen.ceiling = health.ceiling?.value;
    seen.heldUntilMs = health.defense?.heldUntil && timestampMs(health.defense.heldUntil);
    if (seen.utilization !== undefined) remember(utilization, seen.utilization);
    const atMs = health.asOf ? timestampMs(health.asOf) : 0;
    if (health.asOf) seen.judgedMs = atMs;
    const risk = afterLook(seen.risk, health.phaseRisk);
    if (risk.severity !== seen.risk.severity) options.onRisk(seen.risk, risk, atMs);
    seen.risk = risk;
    if (level !== seen.level) options.onLevel(seen.level, level, seen.utilization, atMs);
    seen.level = level;
  };
  const onMap = (map: EnergyMap) => {
    if (seen.mapCount++ === 0) options.onFirstMap();
    seen.map = viewOf(map);
    if (!map.state || map.state.observedCount === 0) return;
    remember(energy, map.state.net);
    if (map.surprise !== undefined) remember(surprise, map.surprise);
    if (map.state.spatialEntropyRatio !== undefined) remember(entropy, map.state.spatialEntropyRatio);
  };

  const followHealth = async () => {
    for await (const { health } of clients.resilience.watchHealth({}, { signal }))
      if (health) onHealth(health);
  };
  const followMaps = async () => {
    for await (const { map } of clients.energy.watchMaps({ stream }, { signal })) if (map) onMap(map);
  };
  const followAccount = async () => {
    while (!signal.aborted) {
      const report = await ingestReport(clients, stream);
      if (report) seen.account = accountOf(report.samples);
      await delay(clock, ACCOUNT_MS, signal);
    }
  };
  /** Keeps following: a broken stream only means that the picture stands still for a moment. */
  const keep = async (follow: () => Promise<void>) => {
    while (!signal.aborted) {
      await follow().catch(() => undefined);
      await delay(clock, REOPEN_MS, signal);
    }
  };
  const ended = Promise.all([followHealth, followMaps, followAccount].map(keep)).then(() => undefined);
  return { seen, ended };
}

/** What is known of the risk after a report; the same as before while there was no new look. */
function afterLook(before: RiskView, risk: PhaseRisk | undefined): RiskView {
  const lookMs = risk?.asOf && timestampMs(risk.asOf);
  if (risk === undefined || lookMs === undefined || lookMs === before.lookMs) return before;
  const { severity } = risk;
  const sinceMs = severity === before.severity ? before.sinceMs : lookMs;
  return { severity, sinceMs, lookMs, looks: [...before.looks, severity].slice(-SERIES_LENGTH) };
}

function remember(values: number[], value: number): void {
  values.push(value);
  if (values.length > SERIES_LENGTH) values.shift();
}

function viewOf(map: EnergyMap): MapView {
  const cells = (map.grid?.rows ?? 0) * (map.grid?.cols ?? 0);
  return {
    rows: map.grid?.rows ?? 0,
    cols: map.grid?.cols ?? 0,
    values: map.grid ? gridValues(map.grid) : [],
    nodes: map.nodes,
    observed: Array.from({ length: cells }, (_, cell) => isObserved(map, cell)),
  };
}

/** Cells of a grid in either encoding; in the raw one they are copied. */
function gridValues({ values, rawValues }: Grid): ArrayLike<number> {
  if (rawValues.length === 0) return values;
  const view = new DataView(rawValues.buffer, rawValues.byteOffset, rawValues.byteLength);
  return Array.from({ length: rawValues.length / 4 }, (_, i) => view.getFloat32(4 * i, true));
}
