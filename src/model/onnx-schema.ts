import protobuf from 'protobufjs';

/**
 * The part of onnx.proto (IR version 10) that a computation graph with external initialisers needs. Field numbers are ONNX's; everything
 * else of the schema (training, sparse tensors, sequences, functions) is left out.
 */
const source = `
syntax = "proto2";
message Attribute { required string name = 1; optional float f = 2; optional int64 i = 3; repeated int64 ints = 8; required int32 type = 20; }
message Node { repeated string input = 1; repeated string output = 2; required string name = 3; required string opType = 4; repeated Attribute attribute = 5; optional string domain = 7; }
message Entry { required string key = 1; required string value = 2; }
message Tensor { repeated int64 dims = 1; required int32 dataType = 2; required string name = 8; optional bytes rawData = 9; repeated Entry externalData = 13; optional int32 dataLocation = 14; }
message Dimension { optional int64 dimValue = 1; optional string dimParam = 2; }
message Shape { repeated Dimension dim = 1; }
message TensorType { required int32 elemType = 1; required Shape shape = 2; }
message Type { required TensorType tensorType = 1; }
message ValueInfo { required string name = 1; required Type type = 2; }
message Graph { repeated Node node = 1; required string name = 2; repeated Tensor initializer = 5; repeated ValueInfo input = 11; repeated ValueInfo output = 12; }
message OperatorSet { required string domain = 1; required int64 version = 2; }
message Model { required int64 irVersion = 1; required string producerName = 2; required Graph graph = 7; repeated OperatorSet opsetImport = 8; }
`;

/** ONNX's numbers for element types. */
export const elementType = { float32: 1, uint8: 2, int8: 3, int32: 6, int64: 7, bool: 9, float16: 10, float64: 11, bfloat16: 16 } as const;
export type ElementType = keyof typeof elementType;

/** ONNX's numbers for attribute types. */
export const attributeType = { float: 1, int: 2, ints: 7 } as const;

export interface OnnxAttribute {
  readonly name: string;
  readonly type: number;
  readonly f?: number;
  readonly i?: number;
  readonly ints?: readonly number[];
}

export interface OnnxNode {
  readonly name: string;
  readonly opType: string;
  readonly domain: string;
  readonly input: readonly string[];
  readonly output: readonly string[];
  readonly attribute: readonly OnnxAttribute[];
}

export interface OnnxTensor {
  readonly name: string;
  readonly dims: readonly number[];
  readonly dataType: number;
  readonly rawData?: Uint8Array;
  readonly externalData?: readonly { readonly key: string; readonly value: string }[];
  /** 1 = the data lies in another file. */
  readonly dataLocation?: number;
}

export interface OnnxValue {
  readonly name: string;
  readonly type: {
    readonly tensorType: {
      readonly elemType: number;
      readonly shape: { readonly dim: readonly ({ readonly dimValue: number } | { readonly dimParam: string })[] };
    };
  };
}

export interface OnnxModel {
  readonly irVersion: number;
  readonly producerName: string;
  readonly opsetImport: readonly { readonly domain: string; readonly version: number }[];
  readonly graph: {
    readonly name: string;
    readonly node: readonly OnnxNode[];
    readonly initializer: readonly OnnxTensor[];
    readonly input: readonly OnnxValue[];
    readonly output: readonly OnnxValue[];
  };
}

const modelType = protobuf.parse(source).root.lookupType('Model');

/** The bytes of a .onnx file. */
export function encodeOnnx(model: OnnxModel): Uint8Array {
  return modelType.encode(modelType.fromObject({ ...model })).finish();
}
