/** A value that upstream keeps beside the weights: what JSON can say. */
export type CheckpointValue = null | boolean | number | string | readonly CheckpointValue[] | { readonly [key: string]: CheckpointValue };

export type CheckpointArguments = Readonly<Record<string, CheckpointValue>>;

/** One tensor of a checkpoint, which is read when it is asked for. */
export interface CheckpointTensor {
  readonly shape: readonly number[];
  /** Element type as stored, in PyTorch's words. */
  readonly type: 'float32' | 'float16' | 'bfloat16' | 'float64' | 'int64' | 'int32' | 'bool';
  /** All values as float32, row-major, whatever the storage's strides. */
  read(): Promise<Float32Array>;
}

/** An upstream router checkpoint (`.pt`): a dict `{model_type, init_args, common_args, model_specific_args, state_dict}`. */
export interface Checkpoint {
  readonly path: string;
  /** sha256 (hex) of the file. */
  readonly digest: string;
  /** Name of the network's class. */
  readonly modelType: string;
  readonly initArgs: CheckpointArguments;
  /** Holds `threshold` and `input_type`. */
  readonly commonArgs: CheckpointArguments;
  readonly modelSpecificArgs: CheckpointArguments;
  /** `state_dict`, by parameter name. */
  readonly tensors: ReadonlyMap<string, CheckpointTensor>;
  close(): Promise<void>;
}
