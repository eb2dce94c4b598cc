/**
 * Reads a TelemetryBatch straight from its wire format into reusable arrays: no objects, no 64-bit integers, no
 * strings. Text stays where it is, as a span of the message, because the fold compares it with bytes it knows. Reads
 * what the generated decoder reads (packed or not, fields in any order or repeated, unknown fields skipped) and
 * refuses more: a known field with a foreign wire type, and nested lengths that overrun.
 *
 * One class, so that the compiler sees one shape and keeps the place in the message in registers.
 *
 * Numbers of the wire are little-endian, as is every platform this runs on; `createTelemetry` checks that.
 */

/** Most samples of one batch. */
export const SAMPLES_MAX = 8192;
/** Most metrics of one batch. */
export const METRICS_MAX = 256;
/** Most labels of one batch. */
export const LABELS_MAX = 16;

const EMPTY = new Uint8Array(0);
const TRUNCATED = 'it ends in the middle of a field';
const FIELD_LAST = 13;
const GROUPS_NESTED_MAX = 100;
const WIRE_VARINT = 0;
const WIRE_64 = 1;
const WIRE_BYTES = 2;
const WIRE_GROUP = 3;
const WIRE_GROUP_END = 4;
const WIRE_32 = 5;

export class BatchDecoder {
  /** The message; borrowed until the next `decode`. Spans below are places in it, `to` exclusive. */
  data: Uint8Array = EMPTY;
  sourceFrom = 0;
  sourceTo = 0;
  domainFrom = 0;
  domainTo = 0;
  clusterFrom = 0;
  clusterTo = 0;
  nodeFrom = 0;
  nodeTo = 0;
  epoch = 0;
  sequence = 0;
  hasBaseTime = false;
  baseSeconds = 0;
  baseNanos = 0;
  endOfInput = false;
  /** Metrics given, and the span from the first one's tag to the end of the last. */
  metricCount = 0;
  metricsFrom = 0;
  metricsTo = 0;
  /** Label entries given, and their span alike. */
  labelCount = 0;
  labelsFrom = 0;
  labelsTo = 0;
  indexCount = 0;
  offsetCount = 0;
  valueCount = 0;
  readonly metricIndex = new Uint32Array(SAMPLES_MAX);
  readonly offsetMs = new Int32Array(SAMPLES_MAX);
  readonly values = new Float64Array(SAMPLES_MAX);
  /** What is wrong with the message; empty when it could be read. */
  fault = '';

  private readonly valueBytes = new Uint8Array(this.values.buffer);
  private pos = 0;
  private end = 0;
  /** High 32 bits of the last 64-bit number read, signed. */
  private high = 0;

  /** Reads a message; false when it cannot be read, with the reason in `fault`. Linear in its length. */
  decode(data: Uint8Array): boolean {
    this.reset(data);
    while (this.pos < this.end) {
      const from = this.pos;
      const tag = this.tag();
      switch (tag) {
        case 0x0a:
          this.sourceFrom = this.block();
          this.sourceTo = this.pos;
          break;
        case 0x10:
          this.epoch = this.varint();
          break;
        case 0x18:
          this.sequence = this.varint();
          break;
        case 0x22:
          this.domainFrom = this.block();
          this.domainTo = this.pos;
          break;
        case 0x2a:
          this.clusterFrom = this.block();
          this.clusterTo = this.pos;
          break;
        case 0x32:
          this.nodeFrom = this.block();
          this.nodeTo = this.pos;
          break;
        case 0x3a:
          this.baseTime();
          break;
        case 0x42:
          if (this.metricCount++ === 0) this.metricsFrom = from;
          this.block();
          this.metricsTo = this.pos;
          break;
        case 0x5a:
          this.packedValues();
          break;
        default:
          this.rare(tag, from);
      }
    }
    return this.fault === '';
  }

  private rare(tag: number, from: number): void {
    switch (tag) {
      case 0x4a:
        this.packedIndexes();
        break;
      case 0x52:
        this.packedOffsets();
        break;
      case 0x48:
        if (this.indexCount === SAMPLES_MAX) this.tooMany();
        else this.metricIndex[this.indexCount++] = this.varint();
        break;
      case 0x50:
        if (this.offsetCount === SAMPLES_MAX) this.tooMany();
        else this.offsetMs[this.offsetCount++] = zigzag(this.varint());
        break;
      case 0x59:
        this.copyValues(this.pos + 8);
        break;
      case 0x60:
        this.endOfInput = (this.varint() | this.high) !== 0;
        break;
      case 0x6a:
        if (this.labelCount++ === 0) this.labelsFrom = from;
        this.block();
        this.labelsTo = this.pos;
        break;
      default:
        if (tag >>> 3 <= FIELD_LAST) this.fail(`field ${tag >>> 3} has a foreign wire type`);
        else this.skip(tag, GROUPS_NESTED_MAX);
    }
  }

  private reset(data: Uint8Array): void {
    this.data = data;
    this.pos = 0;
    this.end = data.length;
    this.sourceFrom = this.sourceTo = 0;
    this.domainFrom = this.domainTo = 0;
    this.clusterFrom = this.clusterTo = 0;
    this.nodeFrom = this.nodeTo = 0;
    this.epoch = this.sequence = 0;
    this.hasBaseTime = false;
    this.baseSeconds = this.baseNanos = 0;
    this.endOfInput = false;
    this.metricCount = this.metricsFrom = this.metricsTo = 0;
    this.labelCount = this.labelsFrom = this.labelsTo = 0;
    this.indexCount = this.offsetCount = this.valueCount = 0;
    this.fault = '';
  }

  /** Ends the reading; returns 0 so that callers can return it. */
  private fail(fault: string): number {
    if (this.fault === '') this.fault = fault;
    this.pos = this.end = this.data.length;
    return 0;
  }

  private tooMany(): number {
    return this.fail(`it has more than ${SAMPLES_MAX} samples`);
  }

  private tag(): number {
    const byte = this.data[this.pos]!;
    if (byte < 0x80) {
      this.pos++;
      return byte >= 8 ? byte : this.fail('field number 0');
    }
    const from = this.pos;
    const tag = this.varint();
    const length = this.pos - from;
    if (this.fault !== '') return 0;
    if (length > 5 || (length === 5 && this.data[from + 4]! > 0x0f)) return this.fail('a tag over 32 bits');
    return tag >= 8 ? tag : this.fail('field number 0');
  }

  /** Reads a varint: its low 32 bits, unsigned; the high ones go to `high`. */
  private varint(): number {
    const { data, end } = this;
    let pos = this.pos;
    let low = 0;
    this.high = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      if (pos >= end) return this.fail(TRUNCATED);
      const byte = data[pos++]!;
      if (shift < 28) low |= (byte & 0x7f) << shift;
      else if (shift === 28) {
        low |= (byte & 0x0f) << 28;
        this.high = (byte & 0x70) >> 4;
      } else this.high |= (byte & 0x7f) << (shift - 32);
      if (byte < 0x80) {
        this.pos = pos;
        return low >>> 0;
      }
    }
    return this.fail('a number of more than 10 bytes');
  }

  /** Passes over a length and as many bytes; returns where they begin. */
  private block(): number {
    const { data, pos, end } = this;
    let length = pos < end ? data[pos]! : 0x80;
    if (length < 0x80) this.pos = pos + 1;
    else length = this.varint();
    const from = this.pos;
    if (length > end - from) return this.fail(TRUNCATED);
    this.pos = from + length;
    return from;
  }

  private baseTime(): void {
    const from = this.block();
    if (this.fault !== '') return;
    const outer = this.end;
    this.end = this.pos;
    this.pos = from;
    this.hasBaseTime = true;
    while (this.pos < this.end) {
      const tag = this.tag();
      if (tag === 0x08) {
        const low = this.varint();
        this.baseSeconds = this.high * 0x1_0000_0000 + low;
      } else if (tag === 0x10) this.baseNanos = this.varint() | 0;
      else if (tag >>> 3 === 1 || tag >>> 3 === 2) this.fail('field 7 has a foreign wire type inside');
      else if (this.fault === '') this.skip(tag, GROUPS_NESTED_MAX);
    }
    if (this.fault === '') this.end = outer;
  }

  private packedIndexes(): void {
    let pos = this.block();
    if (this.fault !== '') return;
    const { data, metricIndex, end: outer } = this;
    const to = this.pos;
    let count = this.indexCount;
    this.end = to;
    while (pos < to) {
      let value = data[pos++]!;
      if (value >= 0x80) {
        this.pos = pos - 1;
        value = this.varint();
        if (this.fault !== '') return;
        pos = this.pos;
      }
      if (count === SAMPLES_MAX) {
        this.tooMany();
        return;
      }
      metricIndex[count++] = value;
    }
    this.indexCount = count;
    this.pos = to;
    this.end = outer;
  }

  private packedOffsets(): void {
    let pos = this.block();
    if (this.fault !== '') return;
    const { data, offsetMs, end: outer } = this;
    const to = this.pos;
    let count = this.offsetCount;
    this.end = to;
    while (pos < to) {
      let value = data[pos++]!;
      if (value >= 0x80) {
        const second = pos < to ? data[pos]! : 0x80;
        if (second < 0x80) {
          value = (value & 0x7f) | (second << 7);
          pos++;
        } else {
          this.pos = pos - 1;
          value = this.varint();
          if (this.fault !== '') return;
          pos = this.pos;
        }
      }
      if (count === SAMPLES_MAX) {
        this.tooMany();
        return;
      }
      offsetMs[count++] = (value >>> 1) ^ -(value & 1);
    }
    this.offsetCount = count;
    this.pos = to;
    this.end = outer;
  }

  private packedValues(): void {
    const from = this.block();
    if (this.fault !== '') return;
    const to = this.pos;
    this.pos = from;
    if ((to - from) % 8 !== 0) this.fail('values are not whole doubles');
    else this.copyValues(to);
  }

  /** Copies the doubles from `pos` to `to`. */
  private copyValues(to: number): void {
    const { data, pos, valueBytes, valueCount } = this;
    if (to > this.end) {
      this.fail(TRUNCATED);
      return;
    }
    const count = valueCount + (to - pos) / 8;
    if (count > SAMPLES_MAX) {
      this.tooMany();
      return;
    }
    // Under some 8 doubles a loop is cheaper than making a view to copy from.
    if (to - pos > 64) valueBytes.set(data.subarray(pos, to), valueCount * 8);
    else for (let i = pos, o = valueCount * 8; i < to; i++, o++) valueBytes[o] = data[i]!;
    this.valueCount = count;
    this.pos = to;
  }

  private skip(tag: number, depth: number): void {
    switch (tag & 7) {
      case WIRE_VARINT:
        this.varint();
        break;
      case WIRE_64:
        this.advance(8);
        break;
      case WIRE_BYTES:
        this.block();
        break;
      case WIRE_32:
        this.advance(4);
        break;
      case WIRE_GROUP:
        this.skipGroup(tag >>> 3, depth);
        break;
      default:
        this.fail(`wire type ${tag & 7}`);
    }
  }

  private skipGroup(field: number, depth: number): void {
    if (depth === 0) {
      this.fail('groups nested too deep');
      return;
    }
    while (this.pos < this.end) {
      const tag = this.tag();
      if ((tag & 7) === WIRE_GROUP_END) {
        if (tag >>> 3 !== field) this.fail('a group ends as another');
        return;
      }
      this.skip(tag, depth - 1);
    }
    this.fail(TRUNCATED);
  }

  private advance(count: number): void {
    if (count > this.end - this.pos) this.fail(TRUNCATED);
    else this.pos += count;
  }
}

function zigzag(value: number): number {
  return (value >>> 1) ^ -(value & 1);
}
