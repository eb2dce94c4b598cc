/**
 * Reads a CSV file as a stream of rows, gunzipping it where its first bytes say so. Memory is bounded by the longest
 * row. A row is an array of fields as they stand in the file; what they mean is `recording.ts`'s.
 */
import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { pipeline } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { parse } from 'csv-parse';
import { describeError } from '../errors.ts';
import { unusable } from './failure.ts';

/** Longest row taken, bytes: beyond it the file is more likely to have an unclosed quote. */
const ROW_BYTES_MAX = 4 * 1024 * 1024;

export interface CsvFile {
  readonly header: readonly string[];
  /** The rows below the header. Throws a CliFailure when the file cannot be read to its end. */
  rows(): AsyncGenerator<readonly string[], void, undefined>;
  /** Line of the row yielded last, from 1. */
  line(): number;
  /** Rows that the format itself makes unreadable (an unclosed quote, an endless row): their lines. */
  readonly brokenLines: readonly number[];
  /** Share of the file read so far, 0..1. */
  progress(): number;
  close(): void;
}

/** Opens a file and reads its header. Throws a CliFailure of one sentence when it is not a CSV file that can be read. */
export async function openCsv(path: string): Promise<CsvFile> {
  const { size, gzip } = await inspect(path);
  const source = createReadStream(path);
  const brokenLines: number[] = [];
  const parser = parse({
    bom: true,
    relax_column_count: true,
    relax_quotes: true,
    max_record_size: ROW_BYTES_MAX,
    skip_records_with_error: true,
    on_skip: (error) => {
      if (error) brokenLines.push(Number(error['lines']));
      return undefined;
    },
  });
  // Errors reach the reader of the last stream; the callback only keeps them from being thrown twice.
  if (gzip) pipeline(source, createGunzip(), parser, () => {});
  else pipeline(source, parser, () => {});
  const records: AsyncIterator<string[]> = parser[Symbol.asyncIterator]();

  let line = 0;
  const next = async (): Promise<string[] | undefined> => {
    try {
      const { done, value } = await records.next();
      if (done) return undefined;
      line += lineCount(value);
      return value;
    } catch (error) {
      throw unusable(`${path} cannot be read beyond line ${line}: ${describeError(error)}`, error);
    }
  };
  const header = await next();
  if (!header || header.every((name) => name.trim() === '')) throw unusable(`${path} has no header line`);
  return {
    header: header.map((name) => name.trim()),
    async *rows() {
      for (let row = await next(); row; row = await next()) {
        if (row.length > 1 || row[0] !== '') yield row; // Else an empty line.
      }
    },
    line: () => line,
    brokenLines,
    progress: () => (size === 0 ? 1 : source.bytesRead / size),
    close: () => source.destroy(),
  };
}

async function inspect(path: string): Promise<{ size: number; gzip: boolean }> {
  try {
    const file = await open(path);
    try {
      const stats = await file.stat();
      if (!stats.isFile()) throw unusable(`${path} is not a file`);
      const { buffer, bytesRead } = await file.read(Buffer.alloc(2), 0, 2, 0);
      if (bytesRead === 0) throw unusable(`${path} is empty`);
      return { size: stats.size, gzip: buffer[0] === 0x1f && buffer[1] === 0x8b };
    } finally {
      await file.close();
    }
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT') throw unusable(`there is no file ${path}`, error);
    if (code === 'EACCES') throw unusable(`${path} may not be read`, error);
    throw error;
  }
}

/** Lines a record takes in the file: quoted fields may hold line breaks. */
function lineCount(record: readonly string[]): number {
  let lines = 1;
  for (const field of record) {
    for (let at = field.indexOf('\n'); at >= 0; at = field.indexOf('\n', at + 1)) lines++;
  }
  return lines;
}
