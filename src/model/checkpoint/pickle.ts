import { quoted } from './errors.ts';
import { opcodes } from './opcodes.ts';
import { PickleCursor } from './pickle-cursor.ts';
import { PickleStack } from './pickle-stack.ts';
import { describe, PickleDict, PickleList, PickleTuple, shapeProblem, type PickleObjects, type PickleValue } from './pickle-values.ts';
import type { CheckpointLimits } from './limits.ts';

function append(cursor: PickleCursor, list: PickleValue, items: readonly PickleValue[]): void {
  if (!(list instanceof PickleList)) throw cursor.error('CHECKPOINT_PICKLE', `appends to ${describe(list)}`);
  for (const item of items) list.items.push(item);
}

function setItems(cursor: PickleCursor, dict: PickleValue, items: readonly PickleValue[]): void {
  if (!(dict instanceof PickleDict)) throw cursor.error('CHECKPOINT_PICKLE', `sets items of ${describe(dict)}`);
  if (items.length % 2 !== 0) throw cursor.error('CHECKPOINT_PICKLE', 'has a key without a value');
  for (let at = 0; at < items.length; at += 2) {
    const key = items[at] ?? null;
    if (typeof key !== 'string' && !(typeof key === 'number' && Number.isInteger(key)))
      throw cursor.error('CHECKPOINT_FORBIDDEN', `has ${describe(key)} as a key`);
    if (dict.entries.has(key)) throw cursor.error('CHECKPOINT_PICKLE', `sets the key ${quoted(String(key))} twice`);
    dict.entries.set(key, items[at + 1] ?? null);
  }
}

/** Carries out one operation; true at the end. */
function step(cursor: PickleCursor, stack: PickleStack, objects: PickleObjects): boolean {
  switch (cursor.next()) {
    case opcodes.FRAME:
      if (cursor.uint64() > cursor.remaining) throw cursor.error('CHECKPOINT_PICKLE', 'goes beyond the end');
      break;
    case opcodes.NONE:
      stack.push(null);
      break;
    case opcodes.NEWTRUE:
      stack.push(true);
      break;
    case opcodes.NEWFALSE:
      stack.push(false);
      break;
    case opcodes.BININT:
      stack.push(cursor.int32());
      break;
    case opcodes.BININT1:
      stack.push(cursor.uint8());
      break;
    case opcodes.BININT2:
      stack.push(cursor.uint16());
      break;
    case opcodes.LONG1:
      stack.push(cursor.long());
      break;
    case opcodes.BINFLOAT:
      stack.push(cursor.float64());
      break;
    case opcodes.SHORT_BINUNICODE:
      stack.push(cursor.text(cursor.uint8()));
      break;
    case opcodes.BINUNICODE:
      stack.push(cursor.text(cursor.uint32()));
      break;
    case opcodes.BINUNICODE8:
      stack.push(cursor.text(cursor.uint64()));
      break;
    case opcodes.SHORT_BINBYTES:
      stack.push(cursor.take(cursor.uint8()));
      break;
    case opcodes.BINBYTES:
      stack.push(cursor.take(cursor.uint32()));
      break;
    case opcodes.MARK:
      stack.mark();
      break;
    case opcodes.EMPTY_TUPLE:
      stack.push(new PickleTuple([]));
      break;
    case opcodes.TUPLE1:
      stack.push(new PickleTuple([stack.pop()]));
      break;
    case opcodes.TUPLE2:
      stack.push(new PickleTuple([stack.pop(), stack.pop()].reverse()));
      break;
    case opcodes.TUPLE3:
      stack.push(new PickleTuple([stack.pop(), stack.pop(), stack.pop()].reverse()));
      break;
    case opcodes.TUPLE:
      stack.push(new PickleTuple(stack.popMarked()));
      break;
    case opcodes.EMPTY_LIST:
      stack.push(new PickleList());
      break;
    case opcodes.APPEND: {
      const item = stack.pop();
      append(cursor, stack.peek(), [item]);
      break;
    }
    case opcodes.APPENDS: {
      const items = stack.popMarked();
      append(cursor, stack.peek(), items);
      break;
    }
    case opcodes.EMPTY_DICT:
      stack.push(new PickleDict(false));
      break;
    case opcodes.SETITEM: {
      const value = stack.pop();
      const key = stack.pop();
      setItems(cursor, stack.peek(), [key, value]);
      break;
    }
    case opcodes.SETITEMS: {
      const items = stack.popMarked();
      setItems(cursor, stack.peek(), items);
      break;
    }
    case opcodes.BINPUT:
      stack.memoize(cursor.uint8());
      break;
    case opcodes.LONG_BINPUT:
      stack.memoize(cursor.uint32());
      break;
    case opcodes.MEMOIZE:
      stack.memoize();
      break;
    case opcodes.BINGET:
      stack.recall(cursor.uint8());
      break;
    case opcodes.LONG_BINGET:
      stack.recall(cursor.uint32());
      break;
    case opcodes.GLOBAL:
      stack.push(objects.global(cursor.line(), cursor.line(), cursor));
      break;
    case opcodes.STACK_GLOBAL: {
      const name = stack.pop();
      const module = stack.pop();
      if (typeof module !== 'string' || typeof name !== 'string')
        throw cursor.error('CHECKPOINT_PICKLE', `names a global by ${describe(module)} and ${describe(name)}`);
      stack.push(objects.global(module, name, cursor));
      break;
    }
    case opcodes.REDUCE: {
      const args = stack.pop();
      stack.push(objects.reduce(stack.pop(), args, cursor));
      break;
    }
    case opcodes.BUILD: {
      const state = stack.pop();
      objects.build(stack.peek(), state, cursor);
      break;
    }
    case opcodes.BINPERSID:
      stack.push(objects.persistent(stack.pop(), cursor));
      break;
    case opcodes.STOP:
      return true;
    default:
      throw cursor.error('CHECKPOINT_FORBIDDEN', 'is not an operation that torch uses');
  }
  return false;
}

/**
 * Reads `data.pkl`: protocols 2 to 5, the operations that torch's own pickles consist of, and no others. The machine makes plain values;
 * whatever is more goes through `objects`. Nothing is executed. Time and memory are bounded by the limits. Throws `CheckpointError` naming
 * the operation and its byte.
 */
export function readPickle(bytes: Buffer, path: string, objects: PickleObjects, limits: CheckpointLimits): PickleValue {
  const cursor = new PickleCursor(bytes, path);
  const stack = new PickleStack(cursor, limits.maxDepth);
  if (cursor.next() !== opcodes.PROTO) throw cursor.error('CHECKPOINT_PICKLE', 'comes first instead of PROTO');
  const protocol = cursor.uint8();
  if (protocol < 2 || protocol > 5) throw cursor.error('CHECKPOINT_FORBIDDEN', `asks for protocol ${protocol}, not 2 to 5`);
  for (let done = 0; !step(cursor, stack, objects); done++) {
    if (done >= limits.maxPickleOperations)
      throw cursor.error('CHECKPOINT_LIMIT', `is one operation more than ${limits.maxPickleOperations}`);
  }
  const value = stack.finish();
  if (cursor.remaining > 0) throw cursor.error('CHECKPOINT_PICKLE', `is followed by ${cursor.remaining} bytes`);
  const problem = shapeProblem(value, limits.maxDepth);
  if (problem !== undefined)
    throw cursor.error(problem === 'refers to itself' ? 'CHECKPOINT_PICKLE' : 'CHECKPOINT_LIMIT', `returns a structure that ${problem}`);
  return value;
}
