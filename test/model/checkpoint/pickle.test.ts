import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { opcodeName, opcodes as op } from '../../../src/model/checkpoint/opcodes.ts';
import { archive, checkpointEntries } from './archives.ts';
import { call, checkpointPickle, global, orderedDict, pickle, Raw, storage, tensor, tuple, value, type Pickled } from './pickles.ts';
import { Checkpoints } from './refusals.ts';

const four = Buffer.from(Float32Array.of(1, 2, 3, 4).buffer);
const weights = storage('FloatStorage', '0', 4);
const short = (text: string) => new Raw(op.SHORT_BINUNICODE, text.length, text);
const stackGlobal = (module: string, name: string) => new Raw(value(short(module)), value(short(name)), op.STACK_GLOBAL);
const dtype = (code: string, ...state: readonly Pickled[]) =>
  new Raw(value(call(global('numpy.dtype'), code, false, true)), value(tuple(...state)), op.BUILD);
const afterOrder = [null, null, null, -1, -1, 0] as const;

describe('the pickle of a checkpoint', () => {
  const checkpoints = new Checkpoints();
  before(() => checkpoints.start());
  after(() => checkpoints.stop());
  const file = (bytes: Buffer) => archive(checkpointEntries(bytes, { 0: four }));
  const withArgument = (argument: Pickled) => file(checkpointPickle({ init_args: { a: argument } }));

  describe('executes nothing', () => {
    const command = () => `touch ${join(checkpoints.folder, 'executed')}`;
    const attacks: readonly (readonly [name: string, attack: () => Pickled, message: RegExp])[] = [
      ['os.system', () => call(global('os.system'), command()), /GLOBAL asks for the global "os\.system"/],
      ['posix.system', () => call(global('posix.system'), command()), /global "posix\.system"/],
      [
        'posix.system by STACK_GLOBAL',
        () => call(stackGlobal('posix', 'system'), command()),
        /STACK_GLOBAL asks for the global "posix\.system"/,
      ],
      ['eval', () => call(global('builtins.eval'), `__import__("os").system("${command()}")`), /global "builtins\.eval"/],
      ['eval of Python 2', () => call(global('__builtin__.eval'), '1'), /global "__builtin__\.eval"/],
      ['getattr', () => call(global('builtins.getattr'), 'a', 'b'), /global "builtins\.getattr"/],
      ['subprocess', () => call(global('subprocess.Popen'), command()), /global "subprocess\.Popen"/],
      ['runpy', () => call(global('runpy.run_path'), '/x'), /global "runpy\.run_path"/],
      ['a nested pickle', () => call(global('torch.storage._load_from_bytes'), 'x'), /global "torch\.storage\._load_from_bytes"/],
      ['torch.load', () => call(global('torch.load'), '/etc/passwd'), /global "torch\.load"/],
      ['torch.hub', () => call(global('torch.hub.load'), 'a/b'), /global "torch\.hub\.load"/],
      ['pickle.loads', () => call(global('_pickle.loads'), 'x'), /global "_pickle\.loads"/],
      [
        'an attribute of a known name',
        () => stackGlobal('torch', '_utils._rebuild_tensor_v2'),
        /global "torch\._utils\._rebuild_tensor_v2"/,
      ],
      ['a dotted name', () => stackGlobal('torch._utils', '_rebuild_tensor_v2.__globals__'), /__globals__"/],
      ['a prototype', () => stackGlobal('', '__proto__'), /global "\.__proto__"/],
      ['a constructor', () => stackGlobal('Object', 'constructor'), /global "Object\.constructor"/],
      ['INST', () => new Raw(op.MARK, value(command()), op.INST, 'posix\nsystem\n'), /INST is not an operation/],
      ['OBJ', () => new Raw(op.MARK, value(orderedDict), op.OBJ), /OBJ is not an operation/],
      ['NEWOBJ', () => new Raw(value(global('collections.OrderedDict')), op.EMPTY_TUPLE, op.NEWOBJ), /NEWOBJ is not an operation/],
      ['NEWOBJ_EX', () => new Raw(op.EMPTY_TUPLE, op.EMPTY_DICT, op.NEWOBJ_EX), /NEWOBJ_EX is not an operation/],
      ['EXT1', () => new Raw(op.EXT1, 1), /EXT1 is not an operation/],
      ['EXT4', () => new Raw(op.EXT4, 1, 0, 0, 0), /EXT4 is not an operation/],
      ['PERSID', () => new Raw(op.PERSID, 'storage\n'), /PERSID is not an operation/],
      ['calling a string', () => call('os.system', command()), /REDUCE calls a string/],
      ['calling a storage type', () => call(global('torch.FloatStorage'), 4), /REDUCE calls torch\.FloatStorage/],
      ['calling a dtype', () => call(global('torch.float32')), /REDUCE calls torch\.float32/],
      ['calling what a call made', () => call(orderedDict), /REDUCE calls an OrderedDict/],
      ['OrderedDict of something', () => call(global('collections.OrderedDict'), []), /collections\.OrderedDict with arguments/],
      ['a codec', () => call(global('_codecs.encode'), 'x', 'rot13'), /_codecs\.encode for more than 'latin1'/],
      ['text beyond latin1', () => call(global('_codecs.encode'), '模', 'latin1'), /text that is not latin1/],
      ['the state of a dict', () => new Raw(op.EMPTY_DICT, value({ a: 1 }), op.BUILD), /BUILD sets the state of a dict/],
      ['the state of an OrderedDict', () => new Raw(value(orderedDict), value({ __class__: 1 }), op.BUILD), /the state of an OrderedDict/],
      ['the state of a tensor', () => new Raw(value(tensor({ of: weights, shape: [4] })), value({}), op.BUILD), /the state of a tensor/],
      [
        'hooks',
        () => tensor({ of: weights, shape: [4], hooks: new Raw(value(orderedDict), op.MARK, value(1), value(2), op.SETITEMS) }),
        /hooks/,
      ],
      ['hooks that are a call', () => tensor({ of: weights, shape: [4], hooks: global('torch.Size') }), /with backward hooks/],
      ['a persistent id of another kind', () => new Raw(value(tuple('module', 1)), op.BINPERSID), /something else than a storage/],
      ['a persistent id that is no tuple', () => new Raw(value('storage'), op.BINPERSID), /something else than a storage/],
      ['a persistent id in a persistent id', () => storage('FloatStorage', weights, 4), /something else than a storage/],
      ['a storage of objects', () => storage('UntypedStorage', '0', 4), /global "torch\.UntypedStorage"/],
      ['an array of objects', () => call(global('numpy.dtype'), 'O8', false, true), /numpy\.dtype for more than a plain number/],
      ['a dtype with fields', () => dtype('f8', 3, '<', null, tuple('a'), null, 0, 0, 0), /numpy\.dtype that is no plain/],
      ['a big-endian number', () => dtype('f8', 3, '>', ...afterOrder), /no plain little-endian number/],
      ['a number of no type', () => call(global('numpy.core.multiarray.scalar'), orderedDict, 'x'), /scalar with an OrderedDict/],
    ];
    for (const [name, attack, message] of attacks) {
      it(`of ${name}`, async () => {
        await checkpoints.refused(withArgument(attack()), 'CHECKPOINT_FORBIDDEN', message);
        assert.ok(!existsSync(join(checkpoints.folder, 'executed')));
      });
    }

    it('by any opcode that is not on the list', async () => {
      const allowed = new Set<number>([
        ...[op.FRAME, op.NONE, op.NEWTRUE, op.NEWFALSE, op.BININT, op.BININT1, op.BININT2, op.LONG1, op.BINFLOAT, op.MARK, op.STOP],
        ...[op.SHORT_BINUNICODE, op.BINUNICODE, op.BINUNICODE8, op.SHORT_BINBYTES, op.BINBYTES, op.EMPTY_TUPLE, op.TUPLE1, op.TUPLE2],
        ...[op.TUPLE3, op.TUPLE, op.EMPTY_LIST, op.APPEND, op.APPENDS, op.EMPTY_DICT, op.SETITEM, op.SETITEMS, op.BINPUT, op.LONG_BINPUT],
        ...[op.MEMOIZE, op.BINGET, op.LONG_BINGET, op.GLOBAL, op.STACK_GLOBAL, op.REDUCE, op.BUILD, op.BINPERSID],
      ]);
      for (let code = 0; code < 256; code++) {
        if (allowed.has(code)) continue;
        const message = new RegExp(`byte 2: ${opcodeName(code)} is not an operation`);
        await checkpoints.refused(file(Buffer.from([op.PROTO, 2, code, op.STOP])), 'CHECKPOINT_FORBIDDEN', message);
      }
    });
  });

  describe('is refused when it breaks its own rules', () => {
    const long = (length: number, ...bytes: number[]) => new Raw(op.LONG1, length, ...bytes);
    const cases: readonly (readonly [name: string, bytes: () => Buffer, code: string, message: RegExp])[] = [
      ['it does not begin with PROTO', () => Buffer.of(op.NONE, op.STOP), 'CHECKPOINT_PICKLE', /byte 0: NONE comes first instead of PROTO/],
      ['it is empty', () => Buffer.alloc(0), 'CHECKPOINT_PICKLE', /ends at byte 0 without STOP/],
      ['its protocol is 1', () => pickle(null, 1), 'CHECKPOINT_FORBIDDEN', /protocol 1, not 2 to 5/],
      ['its protocol is 6', () => pickle(null, 6), 'CHECKPOINT_FORBIDDEN', /protocol 6, not 2 to 5/],
      ['it has no STOP', () => checkpointPickle().subarray(0, -1), 'CHECKPOINT_PICKLE', /without STOP/],
      ['bytes follow STOP', () => Buffer.concat([checkpointPickle(), Buffer.of(1)]), 'CHECKPOINT_PICKLE', /STOP is followed by 1 bytes/],
      ['values are left', () => pickle(new Raw(op.NONE, op.NONE)), 'CHECKPOINT_PICKLE', /STOP leaves values on the stack/],
      ['a mark is left', () => pickle(new Raw(op.NONE, op.MARK, op.NONE)), 'CHECKPOINT_PICKLE', /STOP leaves values on the stack/],
      ['the stack is empty at STOP', () => pickle(new Raw()), 'CHECKPOINT_PICKLE', /STOP finds the stack empty/],
      ['the stack is empty', () => pickle(new Raw(op.NONE, op.TUPLE2)), 'CHECKPOINT_PICKLE', /byte 3: TUPLE2 finds the stack empty/],
      ['a mark is missing', () => pickle(new Raw(op.NONE, op.TUPLE)), 'CHECKPOINT_PICKLE', /TUPLE finds no mark/],
      ['a mark is in between', () => pickle(new Raw(op.NONE, op.MARK, op.TUPLE1)), 'CHECKPOINT_PICKLE', /TUPLE1 finds the stack empty/],
      ['it appends to a dict', () => pickle(new Raw(op.EMPTY_DICT, op.NONE, op.APPEND)), 'CHECKPOINT_PICKLE', /APPEND appends to a dict/],
      ['it appends to a tuple', () => pickle(new Raw(op.EMPTY_TUPLE, op.NONE, op.APPEND)), 'CHECKPOINT_PICKLE', /appends to a tuple/],
      ['it sets items of a list', () => pickle(new Raw(op.EMPTY_LIST, op.MARK, op.SETITEMS)), 'CHECKPOINT_PICKLE', /sets items of a list/],
      [
        'a key has no value',
        () => pickle(new Raw(op.EMPTY_DICT, op.MARK, op.NONE, op.SETITEMS)),
        'CHECKPOINT_PICKLE',
        /a key without a value/,
      ],
      [
        'a key is a list',
        () => pickle(new Raw(op.EMPTY_DICT, op.EMPTY_LIST, op.NONE, op.SETITEM)),
        'CHECKPOINT_FORBIDDEN',
        /a list as a key/,
      ],
      [
        'a key is a float',
        () => pickle(new Raw(op.EMPTY_DICT, value(0.5), op.NONE, op.SETITEM)),
        'CHECKPOINT_FORBIDDEN',
        /a number as a key/,
      ],
      [
        'a key is there twice',
        () => pickle(new Raw(op.EMPTY_DICT, op.MARK, value('a'), op.NONE, value('a'), op.NONE, op.SETITEMS)),
        'CHECKPOINT_PICKLE',
        /SETITEMS sets the key "a" twice/,
      ],
      ['a memo is read that was not written', () => pickle(new Raw(op.BINGET, 3)), 'CHECKPOINT_PICKLE', /BINGET reads memo 3 of 0/],
      [
        'a far memo is read',
        () => pickle(new Raw(op.LONG_BINGET, Buffer.alloc(4, 0xff))),
        'CHECKPOINT_PICKLE',
        /LONG_BINGET reads memo 4294967295 of 0/,
      ],
      ['a memo is skipped', () => pickle(new Raw(op.NONE, op.BINPUT, 1)), 'CHECKPOINT_PICKLE', /BINPUT writes memo 1 when 0 comes next/],
      [
        'a far memo is written',
        () => pickle(new Raw(op.NONE, op.LONG_BINPUT, Buffer.alloc(4, 0xff))),
        'CHECKPOINT_PICKLE',
        /memo 4294967295 when 0/,
      ],
      ['nothing is there to remember', () => pickle(new Raw(op.MEMOIZE)), 'CHECKPOINT_PICKLE', /MEMOIZE finds the stack empty/],
      [
        'text is cut short',
        () => pickle(new Raw(op.BINUNICODE, Buffer.alloc(4, 0xff))),
        'CHECKPOINT_PICKLE',
        /BINUNICODE needs 4294967295 bytes where 1 are left/,
      ],
      [
        'text claims 2^64 bytes',
        () => pickle(new Raw(op.BINUNICODE8, Buffer.alloc(8, 0xff))),
        'CHECKPOINT_PICKLE',
        /BINUNICODE8 needs 1844674407370955\d+ bytes/,
      ],
      ['text is no UTF-8', () => pickle(new Raw(op.SHORT_BINUNICODE, 1, Buffer.of(0xff))), 'CHECKPOINT_PICKLE', /text that is not UTF-8/],
      [
        'a global has no end',
        () => pickle(new Raw(op.GLOBAL, 'a'.repeat(1000))),
        'CHECKPOINT_PICKLE',
        /GLOBAL holds no line of at most 256 bytes/,
      ],
      [
        'a global is named by a list',
        () => pickle(new Raw(op.EMPTY_LIST, value('a'), op.STACK_GLOBAL)),
        'CHECKPOINT_PICKLE',
        /by a list and a string/,
      ],
      ['a frame is too long', () => pickle(new Raw(op.FRAME, Buffer.alloc(8, 0x7f))), 'CHECKPOINT_PICKLE', /FRAME goes beyond the end/],
      [
        'arguments are a list',
        () => pickle(new Raw(value(global('torch.Size')), op.EMPTY_LIST, op.REDUCE)),
        'CHECKPOINT_PICKLE',
        /passes a list for arguments/,
      ],
      [
        'an integer is huge',
        () => pickle(long(255, ...Array.from({ length: 255 }, () => 1))),
        'CHECKPOINT_LIMIT',
        /LONG1 holds an integer of 255 bytes/,
      ],
      [
        'an integer is beyond 2^53',
        () => pickle(long(8, 0, 0, 0, 0, 0, 0, 0x20, 0)),
        'CHECKPOINT_LIMIT',
        /LONG1 holds an integer beyond 2\^53/,
      ],
      [
        'a list holds itself',
        () => pickle(new Raw(op.EMPTY_LIST, op.MEMOIZE, op.BINGET, 0, op.APPEND)),
        'CHECKPOINT_PICKLE',
        /a structure that refers to itself/,
      ],
      [
        'a dict holds itself in a tuple',
        () => pickle(new Raw(op.EMPTY_DICT, op.MEMOIZE, value('a'), op.BINGET, 0, op.TUPLE1, op.SETITEM)),
        'CHECKPOINT_PICKLE',
        /a structure that refers to itself/,
      ],
      [
        'it is nested too deep by marks',
        () => pickle(new Raw(Buffer.alloc(100_000, op.MARK))),
        'CHECKPOINT_LIMIT',
        /MARK is nested deeper than 64/,
      ],
      [
        'it is nested too deep by tuples',
        () => pickle(new Raw(op.NONE, Buffer.alloc(100_000, op.TUPLE1))),
        'CHECKPOINT_LIMIT',
        /a structure that is nested too deep/,
      ],
      [
        'it has too many operations',
        () => pickle(new Raw(Buffer.alloc(600_000, op.NONE))),
        'CHECKPOINT_LIMIT',
        /NONE is one operation more than 500000/,
      ],
    ];
    for (const [name, bytes, code, message] of cases) it(`because ${name}`, () => checkpoints.refused(file(bytes()), code, message));

    it('because it is too long', async () => {
      await checkpoints.refused(file(checkpointPickle()), 'CHECKPOINT_LIMIT', /data\.pkl has \d+ bytes, more than 10/, {
        maxPickleBytes: 10,
      });
    });

    it('because shared values describe a huge structure', async () => {
      // ten lists of ten times the one before: 10^10 values in 400 bytes
      let lists = value([1]);
      for (let level = 0; level < 10; level++) {
        const again = Array.from({ length: 9 }, () => Buffer.of(op.BINGET, level));
        lists = Buffer.concat([Buffer.of(op.EMPTY_LIST, op.MARK), lists, Buffer.of(op.BINPUT, level), ...again, Buffer.of(op.APPENDS)]);
      }
      await checkpoints.refused(withArgument(new Raw(lists)), 'CHECKPOINT_LIMIT', /its arguments hold more than 100000 values/);
    });
  });

  describe('is refused for a tensor', () => {
    const state = (w: Pickled) => file(checkpointPickle({ state_dict: { w } }));
    const refusedView = (view: Parameters<typeof tensor>[0], message: RegExp) =>
      checkpoints.refused(state(tensor(view)), 'CHECKPOINT_TENSOR', message);

    it('that leaves its storage', async () => {
      await refusedView({ of: weights, shape: [5] }, /"data\/0" with 5 elements in a storage of 4/);
      await refusedView({ of: weights, shape: [4], offset: 1 }, /its last element at 4 of 4/);
      await refusedView({ of: weights, shape: [2, 2], strides: [3, 1] }, /its last element at 4 of 4/);
      await refusedView({ of: weights, shape: [0], offset: 5 }, /its start at element 5 of 4/);
      await refusedView({ of: weights, shape: [2 ** 31 - 1, 2 ** 31 - 1, 2 ** 31 - 1], strides: [1, 1, 1] }, /elements in a storage of 4/);
      await refusedView({ of: weights, shape: [2], strides: [2 ** 53 - 1] }, /no count|its last element/);
    });

    it('that is larger than its storage', () =>
      refusedView({ of: weights, shape: [1000], strides: [0] }, /1000 elements in a storage of 4/));

    it('whose numbers are none', async () => {
      await refusedView({ of: weights, shape: [1.5] }, /that is no count/);
      await refusedView({ of: weights, shape: [-1] }, /that is no count/);
      await refusedView({ of: weights, shape: [2], strides: [-1], offset: 3 }, /that is no count/);
      await refusedView({ of: weights, shape: [2, 2], strides: [1] }, /2 sizes and 1 strides/);
      await refusedView({ of: weights, shape: Array.from({ length: 65 }, () => 1) }, /a tensor of 65 axes/);
    });

    it('whose storage is not what it says', async () => {
      const of = (item: Pickled) => state(tensor({ of: item, shape: [1] }));
      await checkpoints.refused(
        of(storage('FloatStorage', '0', 5)),
        'CHECKPOINT_TENSOR',
        /storage "0" has 20 bytes where its entry has 16/,
      );
      await checkpoints.refused(
        of(storage('DoubleStorage', '0', 4)),
        'CHECKPOINT_TENSOR',
        /storage "0" has 32 bytes where its entry has 16/,
      );
      await checkpoints.refused(of(storage('FloatStorage', '0', 4.5)), 'CHECKPOINT_TENSOR', /has 18 bytes/);
      await checkpoints.refused(of(storage('FloatStorage', '1', 4)), 'CHECKPOINT_TENSOR', /storage "1", which is not in the archive/);
      await checkpoints.refused(
        of(storage('FloatStorage', '../version', 4)),
        'CHECKPOINT_TENSOR',
        /"\.\.\/version", which is not in the archive/,
      );
      await checkpoints.refused(of('data/0'), 'CHECKPOINT_FORBIDDEN', /with a string for a storage/);
      const both = file(
        checkpointPickle({
          state_dict: { a: tensor({ of: weights, shape: [1] }), b: tensor({ of: storage('IntStorage', '0', 4), shape: [1] }) },
        }),
      );
      await checkpoints.refused(both, 'CHECKPOINT_TENSOR', /storage "0" as two types/);
    });

    it('that is more than the limit', async () => {
      await checkpoints.refused(state(tensor({ of: weights, shape: [4] })), 'CHECKPOINT_LIMIT', /4 elements, more than 3/, {
        maxTensorElements: 3,
      });
    });
  });
});
