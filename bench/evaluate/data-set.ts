/**
 * Reads what lies in a directory of data sets: gzipped arrays described by a sidecar, gzipped CSV, JSON. Everything is
 * checked against its description before it is handed on; a DataError names the file that is missing or differs.
 */
import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { parse } from 'csv-parse/sync';
import { describeError } from '../../src/errors.ts';
import { DataError } from './data-error.ts';
import { isObject, type JsonObject, objectsAt } from './json-members.ts';

/** An array in C order. */
export interface NumericArray {
  readonly values: Float32Array | Int32Array | Uint8Array;
  /** Length along each axis, outermost first. */
  readonly shape: readonly number[];
  /** All the sidecar says. */
  readonly sidecar: JsonObject;
}

/** A table of text: what its cells mean is the reader's. */
export interface CsvTable {
  readonly header: readonly string[];
  /** As many fields as the header, each. */
  readonly rows: readonly (readonly string[])[];
}

const ELEMENTS = {
  float32: { bytes: 4, view: (raw: ArrayBuffer) => new Float32Array(raw) },
  int32: { bytes: 4, view: (raw: ArrayBuffer) => new Int32Array(raw) },
  uint8: { bytes: 1, view: (raw: ArrayBuffer) => new Uint8Array(raw) },
} as const;

/** Reads `<stem>.bin.gz` as `<stem>.json` describes it; float32 where that names no type. `axes` is the rank asked for. */
export function loadArray(stem: string, axes: number): NumericArray {
  const sidecar = loadJson(`${stem}.json`);
  const shape = sidecar['shape'];
  if (!isShape(shape) || shape.length !== axes)
    throw new DataError(`${stem}.json`, `must have a shape of ${axes} whole numbers above 0`);
  const dtype = sidecar['dtype'] ?? 'float32';
  if (!isElement(dtype)) throw new DataError(`${stem}.json`, `has the unknown dtype ${String(dtype)}`);
  const raw = loadGzip(`${stem}.bin.gz`);
  const { bytes, view } = ELEMENTS[dtype];
  const expected = shape.reduce((size, length) => size * length, bytes);
  if (raw.byteLength !== expected)
    throw new DataError(
      `${stem}.bin.gz`,
      `holds ${raw.byteLength} bytes, but ${dtype} of shape ${shape.join(' x ')} is ${expected}`,
    );
  const values = view(raw.buffer.slice(raw.byteOffset, raw.byteOffset + raw.byteLength) as ArrayBuffer);
  return { values, shape, sidecar };
}

/** Reads a gzipped CSV file that has at least the named columns. */
export function loadCsv(path: string, columns: readonly string[]): CsvTable {
  const text = loadGzip(path).toString('utf8');
  const [header, ...rows] = readCsv(path, text);
  const missing = columns.filter((name) => !header?.includes(name));
  if (header === undefined || missing.length > 0)
    throw new DataError(path, `has no column ${missing.join(', ')}; it has ${header?.join(', ') ?? 'none'}`);
  return { header, rows };
}

/** One column of a table as numbers, NaN for an empty field. Throws a DataError for a field that is no number. */
export function numbersOf(table: CsvTable, column: string, path: string): Float64Array {
  const at = table.header.indexOf(column);
  return Float64Array.from(table.rows, (row, index) => {
    const text = row[at]!.trim();
    const value = text === '' ? Number.NaN : Number(text);
    if (Number.isNaN(value) && text !== '' && text.toLowerCase() !== 'nan')
      throw new DataError(path, `row ${index + 1} has "${text}" as ${column}, which is no number`);
    return value;
  });
}

/** Reads a JSON object. */
export function loadJson(path: string): JsonObject {
  const value = readJson(path);
  if (!isObject(value)) throw new DataError(path, 'must hold a JSON object');
  return value;
}

/** Reads a JSON list of objects. */
export function loadJsonList(path: string): readonly JsonObject[] {
  return objectsAt({ list: readJson(path) }, 'list', path);
}

const UNITS_MS: Readonly<Record<string, number>> = { s: 1_000, min: 60_000, h: 3_600_000 };

/** The time from a step to the next that a sidecar's `sampling` names, such as `5 min`, ms. */
export function samplingMs(sidecar: JsonObject, path: string): number {
  const text = sidecar['sampling'];
  const match = /^(\d+(?:\.\d+)?) (s|min|h)$/.exec(typeof text === 'string' ? text : '');
  const stepMs = match ? Number(match[1]) * UNITS_MS[match[2]!]! : 0;
  if (!(stepMs > 0)) throw new DataError(path, `must name its sampling, such as "1 min"`);
  return stepMs;
}

function loadGzip(path: string): Buffer {
  const packed = readBytes(path);
  try {
    return gunzipSync(packed);
  } catch (error) {
    throw new DataError(path, `cannot be unpacked: ${describeError(error)}`, error);
  }
}

function readBytes(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    const isMissing = (error as NodeJS.ErrnoException).code === 'ENOENT';
    throw new DataError(path, isMissing ? 'is missing' : `cannot be read: ${describeError(error)}`, error);
  }
}

function readJson(path: string): unknown {
  const text = readBytes(path).toString('utf8');
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new DataError(path, `is not JSON: ${describeError(error)}`, error);
  }
}

function readCsv(path: string, text: string): string[][] {
  try {
    return parse(text, { bom: true, skip_empty_lines: true });
  } catch (error) {
    throw new DataError(path, `is not CSV: ${describeError(error)}`, error);
  }
}

function isShape(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((length) => Number.isSafeInteger(length) && length > 0);
}

function isElement(value: unknown): value is keyof typeof ELEMENTS {
  return typeof value === 'string' && Object.hasOwn(ELEMENTS, value);
}
