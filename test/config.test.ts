import { describe, expect, test } from '@jest/globals';
import { ConfigError, PREFIX, readConfig, renderConfiguration, variables } from '../src/config.ts';

const faultsOf = (environment: Record<string, string>): readonly string[] => {
  try {
    readConfig(environment);
    return [];
  } catch (error) {
    if (error instanceof ConfigError) return error.faults;
    throw error;
  }
};

describe('configuration', () => {
  test('an empty environment gives every default, frozen', () => {
    const config = readConfig({ PATH: '/bin' });
    for (const [name, row] of Object.entries(variables))
      expect({ name, value: config[name as keyof typeof config] }).toEqual({ name, value: row.fallback });
    expect(Object.isFrozen(config)).toBe(true);
  });

  test('every variable is read from the environment', () => {
    expect(
      readConfig({
        HOMEOSTAT_GRPC_ADDRESS: '127.0.0.1:0',
        HOMEOSTAT_SESSION_LIMIT: '7',
        HOMEOSTAT_REFLECTION: 'off',
        HOMEOSTAT_RESILIENCE_SLO_UTILIZATION: '0.7',
      }),
    ).toMatchObject({
      GRPC_ADDRESS: '127.0.0.1:0',
      SESSION_LIMIT: 7,
      REFLECTION: 'off',
      RESILIENCE_SLO_UTILIZATION: 0.7,
    });
  });

  test('all faults are reported together, each with its variable', () => {
    const faults = faultsOf({
      HOMEOSTAT_GRPC_ADDRESS: 'nowhere',
      HOMEOSTAT_SESSION_LIMIT: '0',
      HOMEOSTAT_LOG_LEVEL: 'loud',
      HOMEOSTAT_SESION_LIMIT: '5',
    });
    expect(faults).toHaveLength(4);
    expect(faults.join('\n')).toContain('HOMEOSTAT_SESION_LIMIT: no such variable');
  });

  test('the bounds of a number are inclusive and nothing beyond them passes', () => {
    for (const given of ['1', '10000'])
      expect(faultsOf({ HOMEOSTAT_SESSION_OWNER_LIMIT: given })).toEqual([]);
    for (const given of ['0', '10001', '1.5', '1e3', 'NaN', '-1'])
      expect(faultsOf({ HOMEOSTAT_SESSION_OWNER_LIMIT: given })).toHaveLength(1);
  });

  test('TLS needs both its files, client certificates need TLS and somebody who vouches for them', () => {
    const pair = { HOMEOSTAT_TLS_CERT_FILE: 'c', HOMEOSTAT_TLS_KEY_FILE: 'k' };
    expect(faultsOf(pair)).toEqual([]);
    expect(faultsOf({ HOMEOSTAT_TLS_CERT_FILE: 'c' })).toHaveLength(1);
    expect(faultsOf({ ...pair, HOMEOSTAT_MTLS: 'required' })).toHaveLength(1);
    expect(faultsOf({ ...pair, HOMEOSTAT_TLS_CLIENT_CA_FILE: 'a' })).toHaveLength(1);
    expect(faultsOf({ ...pair, HOMEOSTAT_MTLS: 'required', HOMEOSTAT_TLS_CLIENT_CA_FILE: 'a' })).toEqual([]);
    expect(faultsOf({ ...pair, HOMEOSTAT_GRPC_ADDRESS: '0.0.0.0:1' })).toEqual([]);
  });

  test('servers on one database need one secret file', () => {
    const shared = { HOMEOSTAT_DATABASE_URL: 'postgresql://u@h/d' };
    expect(faultsOf(shared)).toHaveLength(1);
    expect(faultsOf({ ...shared, HOMEOSTAT_SECRET_FILE: '/s' })).toEqual([]);
  });

  test('origins are read as browsers send them', () => {
    const origins = 'https://a.example, http://localhost:3000';
    expect(readConfig({ HOMEOSTAT_HTTP_CORS_ORIGINS: origins }).HTTP_CORS_ORIGINS).toEqual([
      'https://a.example',
      'http://localhost:3000',
    ]);
    for (const given of ['*', 'a.example', 'https://a.example/', 'https://A.example', 'null'])
      expect(faultsOf({ HOMEOSTAT_HTTP_CORS_ORIGINS: given })).toHaveLength(1);
  });

  test('listening beyond loopback needs ALLOW_PLAINTEXT', () => {
    expect(faultsOf({ HOMEOSTAT_HTTP_ADDRESS: '0.0.0.0:8080' })).toHaveLength(1);
    expect(faultsOf({ HOMEOSTAT_HTTP_ADDRESS: '0.0.0.0:8080', HOMEOSTAT_ALLOW_PLAINTEXT: 'true' })).toEqual(
      [],
    );
    for (const loopback of ['127.0.0.1:1', '127.9.9.9:1', 'localhost:1', '[::1]:1'])
      expect(faultsOf({ HOMEOSTAT_GRPC_ADDRESS: loopback })).toEqual([]);
  });

  test('credentials of a broker need that broker', () => {
    expect(faultsOf({ HOMEOSTAT_NATS_CREDS_FILE: '/x' })).toHaveLength(1);
  });

  test('the documentation names every variable', () => {
    const table = renderConfiguration();
    for (const name of Object.keys(variables)) expect(table).toContain(`\`${PREFIX}${name}\``);
  });
});
