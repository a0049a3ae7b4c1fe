import { quoted } from './errors.ts';
import { NumpyDtype, numpyNumber, setNumpyState } from './numpy-scalars.ts';
import {
  describe,
  PickleDict,
  PickleObject,
  PickleTuple,
  type PickleObjects,
  type PicklePlace,
  type PickleValue,
} from './pickle-values.ts';
import { count, elementBytes, StoredTensor, TensorStorage, viewProblem, type ElementType } from './stored-tensor.ts';
import type { ArchiveEntry } from './archive.ts';
import type { CheckpointLimits } from './limits.ts';

/** A call that is imitated; `args` is what it is given. */
type Imitation = (args: readonly PickleValue[], place: PicklePlace) => PickleValue;

class KnownCall extends PickleObject {
  readonly description: string;
  readonly imitate: Imitation;

  constructor(name: string, imitate: Imitation) {
    super();
    this.description = name;
    this.imitate = imitate;
  }
}

class StorageType extends PickleObject {
  readonly description: string;
  readonly elements: ElementType;

  constructor(name: string, elements: ElementType) {
    super();
    this.description = name;
    this.elements = elements;
  }
}

/** A `torch.dtype`, as in `init_args.dtype`. */
export class TorchDtype extends PickleObject {
  readonly description: string;
  readonly name: string;

  constructor(name: string) {
    super();
    this.description = `torch.${name}`;
    this.name = name;
  }
}

const storageTypes: Readonly<Record<string, ElementType>> = {
  FloatStorage: 'float32',
  HalfStorage: 'float16',
  BFloat16Storage: 'bfloat16',
  DoubleStorage: 'float64',
  LongStorage: 'int64',
  IntStorage: 'int32',
  BoolStorage: 'bool',
};
const maxAxes = 64;

function refused(place: PicklePlace, name: string, problem: string) {
  return place.error('CHECKPOINT_FORBIDDEN', `calls ${name} ${problem}`);
}

const orderedDict: Imitation = (args, place) => {
  if (args.length > 0) throw refused(place, 'collections.OrderedDict', 'with arguments');
  return new PickleDict(true);
};

/** Protocol 2 has no bytes: Python writes them as text, one character a byte, and this call. */
const latin1Bytes: Imitation = ([text, encoding, ...rest], place) => {
  if (typeof text !== 'string' || encoding !== 'latin1' || rest.length > 0)
    throw refused(place, '_codecs.encode', "for more than 'latin1'");
  const bytes = Buffer.from(text, 'latin1');
  if (bytes.toString('latin1') !== text) throw refused(place, '_codecs.encode', 'for text that is not latin1');
  return bytes;
};

const size: Imitation = ([sizes, ...rest], place) => {
  if (!(sizes instanceof PickleTuple) || rest.length > 0) throw refused(place, 'torch.Size', 'for something else than a tuple');
  return sizes;
};

function isEmptyHooks(value: PickleValue | undefined): boolean {
  return value instanceof PickleDict && value.ordered && value.entries.size === 0;
}

/** `(storage, offset, size, stride, requires_grad, backward_hooks)`, in newer versions with empty metadata behind. */
function tensorCall(limits: CheckpointLimits): Imitation {
  const name = 'torch._utils._rebuild_tensor_v2';
  return ([storage, offset, shape, strides, requiresGrad, hooks, ...rest], place) => {
    if (!(storage instanceof TensorStorage)) throw refused(place, name, `with ${describe(storage ?? null)} for a storage`);
    const sound =
      typeof offset === 'number' && shape instanceof PickleTuple && strides instanceof PickleTuple && typeof requiresGrad === 'boolean';
    if (!sound) throw refused(place, name, 'with arguments that are none');
    if (!isEmptyHooks(hooks)) throw refused(place, name, 'with backward hooks');
    const [metadata = null, ...more] = rest;
    if (more.length > 0 || !(metadata === null || (metadata instanceof PickleDict && metadata.entries.size === 0)))
      throw refused(place, name, 'with metadata (a conjugate or negated view)');
    if (shape.items.length > maxAxes) throw place.error('CHECKPOINT_TENSOR', `makes a tensor of ${shape.items.length} axes`);
    const numbers = (items: readonly PickleValue[]) => items.map((item) => (typeof item === 'number' ? item : NaN));
    const view = { offset, shape: numbers(shape.items), strides: numbers(strides.items) };
    const problem = viewProblem(view, storage);
    if (problem !== undefined) throw place.error('CHECKPOINT_TENSOR', `makes a tensor of ${quoted(storage.entry.name)} with ${problem}`);
    if (count(view.shape) > limits.maxTensorElements)
      throw place.error('CHECKPOINT_LIMIT', `makes a tensor of ${count(view.shape)} elements, more than ${limits.maxTensorElements}`);
    return new StoredTensor(storage, view);
  };
}

const parameter: Imitation = ([tensor, requiresGrad, hooks, ...rest], place) => {
  const sound = tensor instanceof StoredTensor && typeof requiresGrad === 'boolean' && isEmptyHooks(hooks) && rest.length === 0;
  if (!sound) throw refused(place, 'torch._utils._rebuild_parameter', 'with arguments that are none');
  return tensor;
};

function knownGlobals(limits: CheckpointLimits): ReadonlyMap<string, PickleObject> {
  const calls: Readonly<Record<string, Imitation>> = {
    'collections.OrderedDict': orderedDict,
    'torch.Size': size,
    'torch._utils._rebuild_tensor_v2': tensorCall(limits),
    'torch._utils._rebuild_parameter': parameter,
    '_codecs.encode': latin1Bytes,
    'numpy.dtype': (args, place) => NumpyDtype.of(args, place),
    'numpy.core.multiarray.scalar': numpyNumber,
    'numpy._core.multiarray.scalar': numpyNumber,
  };
  return new Map<string, PickleObject>([
    ...Object.entries(calls).map(([name, imitate]) => [name, new KnownCall(name, imitate)] as const),
    ...Object.entries(storageTypes).map(([name, type]) => [`torch.${name}`, new StorageType(`torch.${name}`, type)] as const),
    ...Object.keys(elementBytes).map((name) => [`torch.${name}`, new TorchDtype(name)] as const),
  ]);
}

/**
 * Everything that a checkpoint's pickle may name: tensors and what they are made of, dtypes, OrderedDict, NumPy's scalars. `entries`: the
 * archive. A name that is not in the table is refused, whatever it is; those in it are imitated, not called.
 */
export function torchObjects(entries: ReadonlyMap<string, ArchiveEntry>, limits: CheckpointLimits): PickleObjects {
  const globals = knownGlobals(limits);
  const storages = new Map<string, TensorStorage>();

  return {
    global(module, name, place) {
      // a dot in `name` would reach into an object, which is never needed
      const known = name.includes('.') ? undefined : globals.get(`${module}.${name}`);
      if (!known) throw place.error('CHECKPOINT_FORBIDDEN', `asks for the global ${quoted(`${module}.${name}`)}`);
      return known;
    },

    reduce(callable, args, place) {
      if (!(args instanceof PickleTuple)) throw place.error('CHECKPOINT_PICKLE', `passes ${describe(args)} for arguments`);
      if (!(callable instanceof KnownCall)) throw place.error('CHECKPOINT_FORBIDDEN', `calls ${describe(callable)}`);
      return callable.imitate(args.items, place);
    },

    build(object, state, place) {
      if (object instanceof NumpyDtype) {
        setNumpyState(object, state, place);
        return;
      }
      // a module's state_dict carries the versions of its modules as an attribute, which nothing here needs
      const attributes =
        state instanceof PickleDict && object instanceof PickleDict && object.ordered ? [...state.entries.keys()] : undefined;
      if (attributes?.length !== 1 || attributes[0] !== '_metadata')
        throw place.error('CHECKPOINT_FORBIDDEN', `sets the state of ${describe(object)}`);
    },

    persistent(id, place) {
      const [kind, type, key, location, elements, ...rest] = id instanceof PickleTuple ? id.items : [];
      if (
        kind !== 'storage' ||
        !(type instanceof StorageType) ||
        typeof key !== 'string' ||
        typeof location !== 'string' ||
        rest.length > 0
      )
        throw place.error('CHECKPOINT_FORBIDDEN', 'asks for something else than a storage of a known type');
      const entry = /^\d+$/.test(key) ? entries.get(`data/${key}`) : undefined;
      if (!entry) throw place.error('CHECKPOINT_TENSOR', `asks for the storage ${quoted(key)}, which is not in the archive`);
      const bytes = typeof elements === 'number' ? elements * elementBytes[type.elements] : NaN;
      if (bytes !== entry.size)
        throw place.error('CHECKPOINT_TENSOR', `says that the storage ${quoted(key)} has ${bytes} bytes where its entry has ${entry.size}`);
      const known = storages.get(key) ?? new TensorStorage(type.elements, entry);
      if (known.type !== type.elements) throw place.error('CHECKPOINT_TENSOR', `reads the storage ${quoted(key)} as two types`);
      storages.set(key, known);
      return known;
    },
  };
}
