/**
 * Names of series. An OpenTelemetry metric has a series per set of attributes of its points; here a series is one metric
 * of one node, so the attributes go into its name: `system.cpu.time{cpu=0,state=user}`, keys sorted. Different sets give
 * different names: `\` stands before `\` and `{` of a metric's name, before `\`, `=` and `,` of a key, before `\` and
 * `,` of a value. A name longer than a metric's may be is cut and ends in a hash of the whole. Pure.
 */
import { hash } from 'node:crypto';
import type { KeyValue } from '../../gen/opentelemetry/proto/common/v1/common_pb.ts';
import { cut, sortedTexts } from './attribute.ts';

/** Most characters of a name. */
export const NAME_MAX = 128;
/** Hexadecimal digits of SHA-256 that a shortened name ends in. */
const HASH_DIGITS = 16;

/** The series' name, 1 to 128 UTF-16 units for a metric with a name. */
export function seriesName(metric: string, attributes: readonly KeyValue[]): string {
  const name = metric.replace(/[\\{]/g, '\\$&');
  if (attributes.length === 0) return shortened(name);
  const pairs = sortedTexts(attributes).map(
    ([key, text]) => `${key.replace(/[\\=,]/g, '\\$&')}=${text.replace(/[\\,]/g, '\\$&')}`,
  );
  return shortened(`${name}{${pairs.join(',')}}`);
}

function shortened(name: string): string {
  if (name.length <= NAME_MAX) return name;
  const digits = hash('sha256', name, 'hex').slice(0, HASH_DIGITS);
  return `${cut(name, NAME_MAX - HASH_DIGITS - 1)}~${digits}`;
}
