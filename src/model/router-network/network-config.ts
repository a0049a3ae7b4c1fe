import type { CheckpointArguments, CheckpointValue } from '../checkpoint/checkpoint.ts';
import { NetworkError } from './errors.ts';
import { findNetworkClass, networkClasses, type NetworkClass, type NetworkClassName } from './network-class.ts';

/** A network's class and init arguments, checked, with upstream's defaults filled in. */
export interface NetworkConfig {
  readonly name: NetworkClassName;
  readonly kind: NetworkClass;
  /** Width of one row's hidden state; null where the network takes none. */
  readonly hiddenSize: number | null;
  /** Logits the network takes of each row, best first; null where it takes none. */
  readonly logitsSize: number | null;
  /** Input width of each block of the backbone. */
  readonly hiddenDims: readonly number[];
  /** Width inside a block, in multiples of its input. */
  readonly expansionFactor: number;
  readonly normalizeInput: boolean;
  /** Rows of the sinusoidal table, of which a router only ever uses the first; 0: no position embedding. */
  readonly positions: number;
  /** Rows that are looked at together: the row to be judged last, those before it in order. */
  readonly window: number;
  /** 1: sigmoid; 3: softmax over match, neutral, divergent. */
  readonly classes: 1 | 3;
  /** The network itself ends in a softmax (and upstream's router takes another one of that). */
  readonly endsInSoftmax: boolean;
  /** Outputs of the network's own LM head that are looked at, best first; null: all of them. */
  readonly topK: number | null;
}

/** Arguments that change nothing of what is computed from given weights (`dtype` stands in a shipped configuration, though no class takes it). */
const inert = new Set(['dropout_rate', 'pretrained_model_name', 'freeze_lm_head', 'dtype']);
const widest = 1_048_576;

/** Checks the class name and init arguments of a checkpoint. @throws NetworkError */
export function parseNetworkConfig(modelType: string, initArgs: CheckpointArguments): NetworkConfig {
  const name = findNetworkClass(modelType);
  if (name === undefined)
    throw new NetworkError(
      'NETWORK_CLASS_UNKNOWN',
      modelType,
      'no class of this name',
      `the checkpoint must hold one of ${Object.keys(networkClasses).join(', ')}`,
    );
  const kind: NetworkClass = networkClasses[name];
  const args = new InitArguments(name, initArgs);
  const hiddenDims = args.sizes('hidden_dims', [256, 512, 256]);
  const window = kind.windowed ? args.size('neural_window_size', 3) : 1;
  const share = (argument: string, size: number) => {
    if (size % window !== 0) args.refuse(argument, `is ${size}, which ${window} rows cannot share evenly`);
    return size / window;
  };
  const { hidden_states_size: hiddenDefault, logits_size: logitsDefault } = kind.defaults;
  const hiddenSize =
    hiddenDefault === undefined ? null : share('hidden_states_size', args.size('hidden_states_size', hiddenDefault ?? undefined));
  const logitsSize = logitsDefault === undefined ? null : share('logits_size', args.size('logits_size', logitsDefault ?? undefined));
  const expansionFactor = args.size('expansion_factor', 4);
  const normalizeInput = args.flag('normalize_input', false);
  const maxPositions = args.size('max_position_embeddings', 1024);
  const positions = args.flag('use_position_embedding', false) ? maxPositions : 0;
  const classes = kind.outputs === 'one' ? 1 : args.size(kind.outputs, kind.outputs === 'num_classes' ? 3 : 1);
  if (classes !== 1 && classes !== 3)
    return args.refuse(kind.outputs, `is ${classes}; a router reads either one output, or three: match, neutral, divergent`);
  const endsInSoftmax = kind.outputs === 'num_classes' && args.flag('apply_softmax', true);
  if (classes === 1 && endsInSoftmax) args.refuse('num_classes', 'is 1, of which a softmax is always 1');
  const topK = args.optionalSize('topk');
  if (normalizeInput && window > 1 && kind.features.includes('hidden'))
    args.refuse('normalize_input', `is true: this class norms rows of ${hiddenSize} values by weights for ${(hiddenSize ?? 0) * window}`);
  args.assertAllKnown();
  return {
    name,
    kind,
    hiddenSize,
    logitsSize,
    hiddenDims,
    expansionFactor,
    normalizeInput,
    positions,
    window,
    classes,
    endsInSoftmax,
    topK: kind.throughLmHead ? topK : null,
  };
}

/** Init arguments by name, with messages that name class and argument. */
class InitArguments {
  readonly #network: string;
  readonly #values: CheckpointArguments;
  readonly #known = new Set(inert);

  constructor(network: string, values: CheckpointArguments) {
    this.#network = network;
    this.#values = values;
  }

  #get(argument: string): CheckpointValue | undefined {
    this.#known.add(argument);
    return Object.hasOwn(this.#values, argument) ? this.#values[argument] : undefined;
  }

  size(argument: string, otherwise: number | undefined): number {
    const value = this.#get(argument) ?? otherwise;
    if (value === undefined) return this.refuse(argument, 'is missing');
    if (!isSize(value)) return this.refuse(argument, `is ${JSON.stringify(value)}, not a whole number from 1 to ${widest}`);
    return value;
  }

  optionalSize(argument: string): number | null {
    return this.#get(argument) == null ? null : this.size(argument, undefined);
  }

  sizes(argument: string, otherwise: readonly number[]): readonly number[] {
    const value: unknown = this.#get(argument) ?? otherwise;
    if (!Array.isArray(value) || value.length === 0 || !value.every(isSize))
      return this.refuse(argument, `is ${JSON.stringify(value)}, not a list of widths`);
    return value;
  }

  flag(argument: string, otherwise: boolean): boolean {
    const value = this.#get(argument) ?? otherwise;
    return typeof value === 'boolean' ? value : this.refuse(argument, `is ${JSON.stringify(value)}, not true or false`);
  }

  assertAllKnown(): void {
    for (const argument of Object.keys(this.#values))
      if (!this.#known.has(argument)) this.refuse(argument, 'is not an argument of this class, so what it changes is unknown');
  }

  refuse(argument: string, problem: string): never {
    throw new NetworkError(
      'NETWORK_ARGUMENT_INVALID',
      this.#network,
      `init argument ${argument} ${problem}`,
      'save the checkpoint again with arguments that its class takes',
      argument,
    );
  }
}

function isSize(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value > 0 && value <= widest;
}
