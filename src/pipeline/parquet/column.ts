import type { ParquetType } from 'hyparquet';
import type { ColumnType } from '../table.ts';
import { GrowingBytes } from './growing-bytes.ts';

/** Values of a column as Parquet writes them plainly, until a row group is full. */
export class Column {
  readonly name: string;
  readonly type: ColumnType;
  /** Plain values, one behind the other. */
  readonly values = new GrowingBytes();
  /** Lengths of the rows' lists; none for other columns. */
  lengths: number[] = [];

  constructor(name: string, type: ColumnType) {
    this.name = name;
    this.type = type;
  }

  get isList(): boolean {
    return typeof this.type === 'string' && this.type.endsWith('[]');
  }

  get physicalType(): ParquetType {
    return typeof this.type === 'object' ? 'FIXED_LEN_BYTE_ARRAY' : physicalTypes[elementType(this.type)];
  }

  /** Vectors of numbers hardly shrink. */
  get isCompressed(): boolean {
    return typeof this.type !== 'object' && this.type !== 'float32[]';
  }

  /** @throws Error saying what is wrong with the value */
  append(value: unknown): void {
    const { type } = this;
    if (typeof type === 'object') this.#appendBytes(value, type.bytes);
    else if (this.isList) this.#appendList(value, elementType(type));
    else this.#appendValue(value, elementType(type));
  }

  clear(): void {
    this.values.clear();
    this.lengths = [];
  }

  /** Gives its room back; nothing is appended any more. */
  release(): void {
    this.lengths = [];
    this.values.release();
  }

  #appendBytes(value: unknown, length: number): void {
    if (!(value instanceof Uint8Array)) throw new Error(`bytes were expected, got ${typeof value}`);
    if (value.byteLength !== length) throw new Error(`${length} bytes were expected, got ${value.byteLength}`);
    this.values.append(value);
  }

  #appendList(value: unknown, element: ElementType): void {
    if (!isNumberList(value)) throw new Error(`a list of numbers was expected, got ${typeof value}`);
    this.lengths.push(value.length);
    const isPlain = (element === 'float32' && value instanceof Float32Array) || (element === 'int32' && value instanceof Int32Array);
    if (littleEndian && isPlain) this.values.append(new Uint8Array(value.buffer, value.byteOffset, value.byteLength));
    else for (let index = 0; index < value.length; index++) this.#appendValue(value[index], element);
  }

  #appendValue(value: unknown, type: ElementType): void {
    switch (type) {
      case 'bool':
        if (typeof value !== 'boolean') throw new Error(`a boolean was expected, got ${typeof value}`);
        this.values.uint8(value ? 1 : 0);
        break;
      case 'string':
        if (typeof value !== 'string') throw new Error(`a string was expected, got ${typeof value}`);
        this.values.text(value);
        break;
      case 'int32':
        if (typeof value !== 'number' || (value | 0) !== value) throw new Error(`a 32-bit integer was expected, got ${String(value)}`);
        this.values.int32(value);
        break;
      case 'int64':
        if (typeof value !== 'number' || !Number.isSafeInteger(value)) throw new Error(`an integer was expected, got ${String(value)}`);
        this.values.int64(value);
        break;
      case 'float32':
      case 'float64':
        if (typeof value !== 'number') throw new Error(`a number was expected, got ${typeof value}`);
        if (type === 'float32') this.values.float32(value);
        else this.values.float64(value);
        break;
    }
  }
}

type ElementType = 'bool' | 'int32' | 'int64' | 'float32' | 'float64' | 'string';

const physicalTypes: Readonly<Record<ElementType, ParquetType>> = {
  bool: 'BOOLEAN',
  int32: 'INT32',
  int64: 'INT64',
  float32: 'FLOAT',
  float64: 'DOUBLE',
  string: 'BYTE_ARRAY',
};

const littleEndian = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;

function elementType(type: Exclude<ColumnType, object>): ElementType {
  switch (type) {
    case 'int32[]':
      return 'int32';
    case 'int64[]':
      return 'int64';
    case 'float32[]':
      return 'float32';
    case 'bool':
    case 'int32':
    case 'int64':
    case 'float32':
    case 'float64':
    case 'string':
      return type;
  }
}

function isNumberList(value: unknown): value is ArrayLike<number> {
  return Array.isArray(value) || (ArrayBuffer.isView(value) && !(value instanceof DataView));
}
