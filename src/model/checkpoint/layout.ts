import { CheckpointError, quoted } from './errors.ts';
import { describe, PickleDict, PickleList, PickleTuple, type PickleValue } from './pickle-values.ts';
import { StoredTensor } from './stored-tensor.ts';
import { TorchDtype } from './torch-objects.ts';
import type { CheckpointArguments, CheckpointValue } from './checkpoint.ts';
import type { CheckpointLimits } from './limits.ts';

/** What the pickled dict holds. */
export interface CheckpointLayout {
  readonly modelType: string;
  readonly initArgs: CheckpointArguments;
  readonly commonArgs: CheckpointArguments;
  readonly modelSpecificArgs: CheckpointArguments;
  readonly tensors: ReadonlyMap<string, StoredTensor>;
}

/** Turns arguments into JSON's values: tuples become lists, dtypes their names, integer keys text. */
class ArgumentReader {
  readonly #path: string;
  readonly #limits: CheckpointLimits;
  #values = 0;

  constructor(path: string, limits: CheckpointLimits) {
    this.#path = path;
    this.#limits = limits;
  }

  /** The dict at `place`. With `skipTensors`, a tensor in a dict is left out and one in a list becomes null; else it is an error. */
  read(place: string, value: PickleValue | undefined, skipTensors: boolean): CheckpointArguments {
    // upstream's loader takes a missing one for an empty one
    if (value === undefined) return {};
    if (!(value instanceof PickleDict)) throw this.#wrong(place, `is ${describe(value)}, not a dict`);
    return this.#dict(place, value, skipTensors);
  }

  #wrong(place: string, problem: string): CheckpointError {
    return new CheckpointError('CHECKPOINT_LAYOUT', this.#path, `${place} ${problem}`);
  }

  #dict(place: string, dict: PickleDict, skipTensors: boolean): CheckpointArguments {
    const entries: [string, CheckpointValue][] = [];
    const keys = new Set<string>(['__proto__']);
    for (const [key, value] of dict.entries) {
      const name = String(key);
      if (keys.has(name)) throw this.#wrong(place, `has the key ${quoted(name)}, which is reserved or there twice`);
      keys.add(name);
      if (skipTensors && value instanceof StoredTensor) continue;
      entries.push([name, this.#value(`${place}[${quoted(name)}]`, value, skipTensors)]);
    }
    return Object.fromEntries(entries);
  }

  #value(place: string, value: PickleValue, skipTensors: boolean): CheckpointValue {
    // shared values count each time, so that a small file cannot describe a huge structure
    if (++this.#values > this.#limits.maxArgumentValues)
      throw new CheckpointError('CHECKPOINT_LIMIT', this.#path, `its arguments hold more than ${this.#limits.maxArgumentValues} values`);
    if (value === null || typeof value === 'boolean' || typeof value === 'number' || typeof value === 'string') return value;
    if (value instanceof PickleDict) return this.#dict(place, value, skipTensors);
    if (value instanceof PickleList || value instanceof PickleTuple)
      return value.items.map((item, index) => this.#value(`${place}[${index}]`, item, skipTensors));
    if (value instanceof TorchDtype) return value.name;
    if (skipTensors && value instanceof StoredTensor) return null;
    throw this.#wrong(place, `is ${describe(value)}`);
  }
}

function readTensors(path: string, state: PickleValue | undefined): ReadonlyMap<string, StoredTensor> {
  const wrong = (problem: string) => new CheckpointError('CHECKPOINT_LAYOUT', path, problem);
  if (!(state instanceof PickleDict)) throw wrong(`state_dict is ${state === undefined ? 'missing' : `${describe(state)}, not a dict`}`);
  const tensors = new Map<string, StoredTensor>();
  for (const [name, tensor] of state.entries) {
    if (typeof name !== 'string') throw wrong(`state_dict has the number ${name} as a name`);
    if (!(tensor instanceof StoredTensor)) throw wrong(`state_dict[${quoted(name)}] is ${describe(tensor)}, not a tensor`);
    tensors.set(name, tensor);
  }
  return tensors;
}

/** Checks that `root` is the dict that upstream's `save_model` writes. Throws `CHECKPOINT_LAYOUT` naming the key. */
export function readLayout(path: string, root: PickleValue, limits: CheckpointLimits): CheckpointLayout {
  const wrong = (problem: string) => new CheckpointError('CHECKPOINT_LAYOUT', path, problem);
  if (!(root instanceof PickleDict)) throw wrong(`holds ${describe(root)}, not a dict`);
  if (root.entries.size > 0 && [...root.entries.values()].every((value) => value instanceof StoredTensor))
    throw wrong('is a bare state_dict, without the model_type and init_args that say which network it is for');
  const modelType = root.entries.get('model_type');
  if (typeof modelType !== 'string')
    throw wrong(`model_type is ${modelType === undefined ? 'missing' : `${describe(modelType)}, not a string`}`);
  const args = new ArgumentReader(path, limits);
  return {
    modelType,
    initArgs: args.read('init_args', root.entries.get('init_args'), false),
    commonArgs: args.read('common_args', root.entries.get('common_args'), false),
    // checkpoints of an epoch keep the optimizer's state here
    modelSpecificArgs: args.read('model_specific_args', root.entries.get('model_specific_args'), true),
    tensors: readTensors(path, root.entries.get('state_dict')),
  };
}
