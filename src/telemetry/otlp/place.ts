/**
 * Where the metrics of an OpenTelemetry resource belong: domain, cluster and node, each named by the first attribute of
 * a list that the resource has. Names that cannot be used as they are get every character that may not stand in them
 * replaced by `_`, are cut to length, and end in `-` and 8 hexadecimal digits of the SHA-256 of the original, so that
 * two originals stay two names. Pure.
 */
import { hash } from 'node:crypto';
import type { KeyValue } from '../../gen/opentelemetry/proto/common/v1/common_pb.ts';
import { textOf } from './attribute.ts';

/** Attributes that may name the domain, first one wins. */
export const DOMAIN_ATTRIBUTES: readonly string[] = [
  'homeostat.domain',
  'service.namespace',
  'deployment.environment.name',
  'deployment.environment',
];
/** Attributes that may name the cluster, first one wins. */
export const CLUSTER_ATTRIBUTES: readonly string[] = [
  'homeostat.cluster',
  'k8s.cluster.name',
  'service.name',
];
/** Attributes that may name the node, first one wins. */
export const NODE_ATTRIBUTES: readonly string[] = [
  'homeostat.node',
  'host.name',
  'host.id',
  'k8s.node.name',
  'service.instance.id',
];
/** Domain and cluster of a resource that names none. */
export const DEFAULT_NAME = 'default';

/** Label that tells which attributes named the place: `service.namespace,service.name,host.name`. */
export const ORIGIN_LABEL = 'homeostat.origin';
/** Labels that a resource may bring as attributes: they declare its node's cell of the map. */
const CELL_LABELS: readonly string[] = ['homeostat.row', 'homeostat.col'];

/** What an SDK calls a service that nobody named. */
const UNNAMED_SERVICE = /^unknown_service\b/;

const STREAM_NAME = /^[A-Za-z0-9_-]{1,64}$/;
const NODE_NAME = /^[A-Za-z0-9._-]{1,64}$/;
const NAME_MAX = 64;
const SOURCE_MAX = 128;
const HASH_DIGITS = 8;

export interface ResourcePlace {
  readonly domain: string;
  readonly cluster: string;
  readonly node: string;
  /** Who measured: `otlp/<node>`, then service name and instance where they are known; at most 128 characters. */
  readonly sourceId: string;
  /** Labels of its batches. */
  readonly labels: Readonly<Record<string, string>>;
}

/** The place of a resource; undefined when nothing names its node. */
export function placeOfResource(attributes: readonly KeyValue[]): ResourcePlace | undefined {
  const texts = new Map<string, string>();
  for (const { key, value } of attributes) if (!texts.has(key)) texts.set(key, textOf(value));
  if (UNNAMED_SERVICE.test(texts.get('service.name') ?? '')) texts.delete('service.name');
  const node = firstOf(texts, NODE_ATTRIBUTES);
  if (node === undefined) return undefined;
  const domain = firstOf(texts, DOMAIN_ATTRIBUTES);
  const cluster = firstOf(texts, CLUSTER_ATTRIBUTES);
  const labels: Record<string, string> = {
    [ORIGIN_LABEL]: [domain?.key ?? '', cluster?.key ?? '', node.key].join(),
  };
  for (const key of CELL_LABELS) {
    const text = texts.get(key);
    if (text) labels[key] = text;
  }
  const nodeName = usable(node.text, NODE_NAME, /[^A-Za-z0-9._-]/g, NAME_MAX);
  return {
    domain: usable(domain?.text ?? DEFAULT_NAME, STREAM_NAME, /[^A-Za-z0-9_-]/g, NAME_MAX),
    cluster: usable(cluster?.text ?? DEFAULT_NAME, STREAM_NAME, /[^A-Za-z0-9_-]/g, NAME_MAX),
    node: nodeName,
    sourceId: sourceOf(nodeName, texts),
    labels,
  };
}

function sourceOf(node: string, texts: ReadonlyMap<string, string>): string {
  const parts = ['otlp', node, texts.get('service.name'), texts.get('service.instance.id')];
  const source = parts.filter((part) => part).join('/');
  return usable(source, /^[!-~]{1,128}$/, /[^!-~]/g, SOURCE_MAX);
}

interface Named {
  readonly key: string;
  readonly text: string;
}

function firstOf(texts: ReadonlyMap<string, string>, keys: readonly string[]): Named | undefined {
  for (const key of keys) {
    const text = texts.get(key);
    if (text) return { key, text };
  }
  return undefined;
}

/** The text itself where it may be used, else one made of it. */
function usable(text: string, allowed: RegExp, forbidden: RegExp, most: number): string {
  if (allowed.test(text)) return text;
  const digits = hash('sha256', text, 'hex').slice(0, HASH_DIGITS);
  return `${text.replace(forbidden, '_').slice(0, most - HASH_DIGITS - 1)}-${digits}`;
}
