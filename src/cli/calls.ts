/** Calls that somebody can copy into a terminal. They read the key's file; the key itself is never printed. */

export interface CallsAt {
  /** `host:port` of gRPC. */
  readonly grpcAddress: string;
  readonly adminKeyFile: string;
}

/** One `buf curl` command line; `body` is JSON. */
export function bufCurl(at: CallsAt, method: string, body: object): string {
  return [
    'npx buf curl --protocol grpc --http2-prior-knowledge',
    `-H "authorization: Bearer $(cat ${at.adminKeyFile})"`,
    `-d '${JSON.stringify(body)}'`,
    `http://${at.grpcAddress}/${method}`,
  ].join(' ');
}

/** One `grpcurl` command line. */
export function grpcurl(at: CallsAt, method: string): string {
  return `grpcurl -plaintext -H "authorization: Bearer $(cat ${at.adminKeyFile})" ${at.grpcAddress} ${method}`;
}

/** Calls that show what a server knows of one stream, each with a line that says what it shows. */
export function callsToStream(at: CallsAt, stream: { domain: string; cluster: string }): string[] {
  return withRemarks([
    [
      'the defense level and what raised it',
      bufCurl(at, 'homeostat.resilience.v1.ResilienceService/GetHealth', {}),
    ],
    ['the latest energy map', bufCurl(at, 'homeostat.energy.v1.EnergyService/GetMap', { stream })],
    [
      'which metrics carry its energy',
      bufCurl(at, 'homeostat.energy.v1.EnergyService/ExplainMap', { stream, top: 2 }),
    ],
    ['ask for a session', askForSession(at)],
    ['everything there is to call', grpcurl(at, 'list')],
  ]);
}

/** Calls that answer on a server that has seen nothing yet. */
export function callsToServer(at: CallsAt): string[] {
  const map = { grid: { rows: 2, cols: 2, values: [1, 2, 3, 4] } };
  return withRemarks([
    ['its health', bufCurl(at, 'homeostat.resilience.v1.ResilienceService/GetHealth', {})],
    ['the state of a map', bufCurl(at, 'homeostat.energy.v1.EnergyService/ComputeState', { map })],
    ['ask for a session', askForSession(at)],
    ['everything there is to call', grpcurl(at, 'list')],
  ]);
}

function askForSession(at: CallsAt): string {
  return bufCurl(at, 'homeostat.session.v1.SessionService/CreateSession', {
    idempotencyKey: 'try-1',
    name: 'try',
    metadata: { priority: 'PRIORITY_LOW' },
  });
}

function withRemarks(calls: readonly (readonly [what: string, call: string])[]): string[] {
  return calls.flatMap(([what, call]) => [`  # ${what}`, `  ${call}`]);
}
