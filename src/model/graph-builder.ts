import { basename } from 'node:path';
import {
  attributeType,
  elementType,
  encodeOnnx,
  type ElementType,
  type OnnxAttribute,
  type OnnxNode,
  type OnnxTensor,
  type OnnxValue,
} from './onnx-schema.ts';
import type { TensorEntry, TensorType } from './safetensors.ts';

const storedType: Readonly<Record<TensorType, ElementType>> = { F32: 'float32', F16: 'float16', BF16: 'bfloat16' };

/** Float attributes must be told apart from integers, which JavaScript does not do. */
export interface FloatAttribute {
  readonly float: number;
}

/** Where a tensor's bytes lie. */
export interface DataPlace {
  readonly file: string;
  readonly offset: number;
  readonly byteLength: number;
}

type AttributeValue = number | readonly number[] | FloatAttribute;

function attribute(name: string, value: AttributeValue): OnnxAttribute {
  if (typeof value === 'number') return { name, type: attributeType.int, i: value };
  if ('float' in value) return { name, type: attributeType.float, f: value.float };
  return { name, type: attributeType.ints, ints: value };
}

/** Collects the nodes of an ONNX graph. Values are named by strings; a node's outputs get names made from its position. */
export class GraphBuilder {
  readonly #nodes: OnnxNode[] = [];
  readonly #initializers: OnnxTensor[] = [];
  readonly #inputs: OnnxValue[] = [];
  readonly #outputs: OnnxValue[] = [];
  readonly #constants = new Map<string, string>();

  /** Adds a node with one output and returns the output's name. `domain` '' is ONNX itself, 'com.microsoft' ONNX Runtime's own operators. */
  node(opType: string, input: readonly string[], attributes: Readonly<Record<string, AttributeValue>> = {}, domain = ''): string {
    return this.#add(opType, input, attributes, domain, 1)[0] ?? '';
  }

  /** As `node`, with `count` outputs; those at the positions in `unused` are not asked for and get no name. */
  nodes(
    opType: string,
    input: readonly string[],
    count: number,
    attributes: Readonly<Record<string, AttributeValue>> = {},
    domain = '',
    unused: readonly number[] = [],
  ): string[] {
    return this.#add(opType, input, attributes, domain, count, unused);
  }

  #add(
    opType: string,
    input: readonly string[],
    attributes: Readonly<Record<string, AttributeValue>>,
    domain: string,
    count: number,
    unused: readonly number[] = [],
  ): string[] {
    const name = `${opType}_${this.#nodes.length}`;
    const output = Array.from({ length: count }, (_, index) =>
      unused.includes(index) ? '' : count === 1 ? `${name}_out` : `${name}_out${index}`,
    );
    this.#nodes.push({
      name,
      opType,
      domain,
      input,
      output,
      attribute: Object.entries(attributes).map(([key, value]) => attribute(key, value)),
    });
    return output;
  }

  /** A vector of int64 constants, for shapes, sizes and axes. */
  integers(values: readonly number[]): string {
    const name = `integers_${values.join('_')}`;
    if (!this.#constants.has(name)) {
      const rawData = new Uint8Array(BigInt64Array.from(values, (value) => BigInt(value)).buffer);
      this.#initializers.push({ name, dims: [values.length], dataType: elementType.int64, rawData });
      this.#constants.set(name, name);
    }
    return name;
  }

  /** A vector of float32 constants; one of length 1 broadcasts. */
  floats(values: readonly number[]): string {
    const name = `floats_${values.length > 1 ? `${values.length}_from_` : ''}${values[0] ?? ''}`;
    if (!this.#constants.has(name)) {
      const rawData = new Uint8Array(Float32Array.from(values).buffer);
      this.#initializers.push({ name, dims: [values.length], dataType: elementType.float32, rawData });
      this.#constants.set(name, name);
    }
    return name;
  }

  /** A tensor that stays in its safetensors file; the runtime reads it from there, so the graph itself has a few kilobytes. */
  stored(entry: TensorEntry): { readonly name: string; readonly type: ElementType } {
    const type = storedType[entry.type];
    return { name: this.external(entry.name, type, entry.shape, { ...entry, file: basename(entry.file) }), type };
  }

  /** A tensor whose bytes lie in `place.file`, a file name in the folder of external initialisers. Returns `name`. */
  external(name: string, type: ElementType, dims: readonly number[], place: DataPlace): string {
    if (!this.#constants.has(name)) {
      this.#constants.set(name, name);
      this.#initializers.push({
        name,
        dims,
        dataType: elementType[type],
        dataLocation: 1,
        externalData: [
          { key: 'location', value: place.file },
          { key: 'offset', value: String(place.offset) },
          { key: 'length', value: String(place.byteLength) },
        ],
      });
    }
    return name;
  }

  /** One constant of another type than `integers` and `floats` make, as a scalar. */
  scalar(type: 'uint8' | 'int64' | 'float32', value: number): string {
    const name = `${type}_${value}`;
    if (!this.#constants.has(name)) {
      const data = type === 'uint8' ? Uint8Array.of(value) : type === 'int64' ? BigInt64Array.of(BigInt(value)) : Float32Array.of(value);
      this.#initializers.push({ name, dims: [], dataType: elementType[type], rawData: new Uint8Array(data.buffer) });
      this.#constants.set(name, name);
    }
    return name;
  }

  /** Declares an input; named dimensions vary from run to run. */
  input(name: string, type: ElementType, shape: readonly (number | string)[]): string {
    this.#inputs.push(valueInfo(name, type, shape));
    return name;
  }

  /** Declares `value` as an output called `name`. */
  output(name: string, value: string, type: ElementType, shape: readonly (number | string)[]): void {
    this.#nodes.push({ name, opType: 'Identity', domain: '', input: [value], output: [name], attribute: [] });
    this.#outputs.push(valueInfo(name, type, shape));
  }

  /** The bytes of the .onnx file of a graph called `name`. */
  encode(name = 'decoder'): Uint8Array {
    return encodeOnnx({
      irVersion: 10,
      producerName: 'r2r',
      opsetImport: [
        { domain: '', version: 17 },
        { domain: 'com.microsoft', version: 1 },
      ],
      graph: { name, node: this.#nodes, initializer: this.#initializers, input: this.#inputs, output: this.#outputs },
    });
  }
}

function valueInfo(name: string, type: ElementType, shape: readonly (number | string)[]): OnnxValue {
  const dim = shape.map((size) => (typeof size === 'number' ? { dimValue: size } : { dimParam: size }));
  return { name, type: { tensorType: { elemType: elementType[type], shape: { dim } } } };
}
