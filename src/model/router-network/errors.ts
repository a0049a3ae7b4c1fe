/**
 * Why a checkpoint's network cannot be built.
 * - `NETWORK_CLASS_UNKNOWN`: no network class has this name
 * - `NETWORK_ARGUMENT_INVALID`: an init argument is unknown, malformed, or asks for what cannot be computed
 * - `NETWORK_TENSOR_MISSING`, `NETWORK_TENSOR_UNEXPECTED`, `NETWORK_TENSOR_SHAPE`: the weights are not those of this class with these arguments
 * - `NETWORK_SLM_MISMATCH`: the network was trained for an SLM of another size
 */
export type NetworkErrorCode =
  | 'NETWORK_CLASS_UNKNOWN'
  | 'NETWORK_ARGUMENT_INVALID'
  | 'NETWORK_TENSOR_MISSING'
  | 'NETWORK_TENSOR_UNEXPECTED'
  | 'NETWORK_TENSOR_SHAPE'
  | 'NETWORK_SLM_MISMATCH';

/** A network that cannot be built from a checkpoint. The message names the class, what is wrong and what to do about it. */
export class NetworkError extends Error {
  readonly code: NetworkErrorCode;
  /** The class as the checkpoint names it. */
  readonly network: string;
  /** The tensor or init argument at fault, where it is one. */
  readonly field: string | undefined;

  constructor(code: NetworkErrorCode, network: string, problem: string, fix: string, field?: string) {
    super(`router network ${network}: ${problem}; ${fix}`);
    this.name = 'NetworkError';
    this.code = code;
    this.network = network;
    this.field = field;
  }
}
