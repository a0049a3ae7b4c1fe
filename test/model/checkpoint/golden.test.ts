import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { globSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { CheckpointError } from '../../../src/model/checkpoint/errors.ts';
import { readCheckpoint } from '../../../src/model/checkpoint/read-checkpoint.ts';

interface Expected {
  readonly torch: string;
  readonly files: Readonly<
    Record<
      string,
      {
        readonly modelType: string;
        readonly initArgs: unknown;
        readonly commonArgs: unknown;
        readonly modelSpecificArgs: unknown;
        readonly tensors: Readonly<Record<string, { readonly shape: number[]; readonly type: string; readonly float32: string }>>;
      }
    >
  >;
}

/** What torch itself writes (fixtures.py) and the reader refuses: code and message. */
const refused: readonly (readonly [file: string, code: string, message: RegExp])[] = [
  ['legacy', 'CHECKPOINT_FORMAT', /torch's format of before 1\.6/],
  ['script', 'CHECKPOINT_FORMAT', /TorchScript code \(archive entry "code\//],
  ['state-dict', 'CHECKPOINT_LAYOUT', /a bare state_dict.*save_model/],
  ['tensor-argument', 'CHECKPOINT_LAYOUT', /init_args\["weights"\] is a tensor/],
  ['module', 'CHECKPOINT_FORBIDDEN', /byte 2: GLOBAL asks for the global "__main__\.Router"/],
  ['linear', 'CHECKPOINT_FORBIDDEN', /global "torch\.nn\.modules\.linear\.Linear"/],
  ['sparse', 'CHECKPOINT_FORBIDDEN', /global "torch\._utils\._rebuild_sparse_tensor"/],
  ['quantised', 'CHECKPOINT_FORBIDDEN', /global "torch\._utils\._rebuild_qtensor"/],
  ['complex', 'CHECKPOINT_FORBIDDEN', /global "torch\.ComplexFloatStorage"/],
  ['bytes', 'CHECKPOINT_FORBIDDEN', /global "torch\.ByteStorage"/],
  ['array', 'CHECKPOINT_FORBIDDEN', /global "numpy\._?core\.multiarray\._reconstruct"/],
  ['set', 'CHECKPOINT_FORBIDDEN', /EMPTY_SET is not an operation/],
  ['expanded', 'CHECKPOINT_TENSOR', /"data\/0" with 1000 elements in a storage of 1/],
  ['negated', 'CHECKPOINT_FORBIDDEN', /_rebuild_tensor_v2 with metadata/],
  ['no-checksums', 'CHECKPOINT_DAMAGED', /"version" contradicts its checksum.*set_crc32_options/],
];

const floats: Readonly<Record<string, number>> = { nan: NaN, inf: Infinity, '-inf': -Infinity };

/** JSON has no NaN and no infinities: fixtures.py writes them as `{"float": …}`. */
function withFloats(_: string, value: unknown): unknown {
  if (typeof value !== 'object' || value === null || !('float' in value)) return value;
  return floats[String(value.float)] ?? value;
}

function float32(base64: string): Float32Array {
  const bytes = Buffer.from(base64, 'base64');
  return new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
}

for (const folder of globSync(join(import.meta.dirname, 'fixtures/torch-*')).sort()) {
  const expected = JSON.parse(readFileSync(join(folder, 'expected.json'), 'utf8'), withFloats) as Expected;

  describe(`checkpoints that torch ${expected.torch} wrote`, () => {
    for (const [name, content] of Object.entries(expected.files)) {
      it(`${name} holds what torch says`, async () => {
        const path = join(folder, name);
        const checkpoint = await readCheckpoint(path);
        const { modelType, initArgs, commonArgs, modelSpecificArgs } = checkpoint;
        const { tensors, ...arguments_ } = content;
        assert.deepEqual({ modelType, initArgs, commonArgs, modelSpecificArgs }, arguments_);
        assert.equal(checkpoint.digest, createHash('sha256').update(readFileSync(path)).digest('hex'));
        assert.deepEqual([...checkpoint.tensors.keys()], Object.keys(tensors));
        for (const [key, tensor] of checkpoint.tensors) {
          const { shape, type, float32: values } = tensors[key]!;
          assert.deepEqual({ shape: tensor.shape, type: tensor.type }, { shape, type }, key);
          // as lists: which NaN it is does not matter
          assert.deepEqual([...(await tensor.read())], [...float32(values)], key);
        }
        await checkpoint.close();
      });
    }

    it('has a reason for every file that is refused', () => {
      const files = globSync(join(folder, 'refused-*.pt')).map((file) => basename(file));
      const onlyNewer = ['negated', 'no-checksums'];
      const names = refused.map(([name]) => name).filter((name) => expected.torch.startsWith('2.') || !onlyNewer.includes(name));
      assert.deepEqual(files.sort(), names.map((name) => `refused-${name}.pt`).sort());
    });

    for (const [name, code, message] of refused) {
      const path = join(folder, `refused-${name}.pt`);
      if (globSync(path).length === 0) continue;
      it(`${basename(path)} is refused`, async () => {
        await assert.rejects(readCheckpoint(path), (error) => {
          assert.ok(error instanceof CheckpointError, String(error));
          assert.equal(error.code, code);
          assert.match(error.message, message);
          assert.equal(error.path, path);
          return true;
        });
      });
    }
  });
}
