import assert from 'node:assert/strict';
import { mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ModelError } from '../../src/model/errors.ts';
import { openWeights } from '../../src/model/safetensors.ts';

const fixtures = join(import.meta.dirname, '../engine/fixtures');

/** A safetensors file: length, header, data. */
function file(header: unknown, data: Buffer, length?: bigint): Buffer {
  const json = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header));
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(length ?? BigInt(json.length));
  return Buffer.concat([size, json, data]);
}

describe('safetensors', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'r2r-weights-'));
  });
  afterEach(() => rm(folder, { recursive: true }));
  const write = (bytes: Buffer) => writeFile(join(folder, 'model.safetensors'), bytes);
  const refused = (code: string, message: RegExp) =>
    assert.rejects(openWeights(folder), (error) => {
      assert.ok(error instanceof ModelError);
      assert.equal(error.code, code);
      assert.match(error.message, message);
      return true;
    });

  it('reads all three types, whole and by rows', async () => {
    const data = Buffer.concat([
      Buffer.from(Float32Array.of(1, -2.5, 3, 4).buffer),
      Buffer.from(Uint16Array.of(0x3c00, 0xc100, 0x0001, 0x7c00).buffer),
      Buffer.from(Uint16Array.of(0x3f80, 0xc020, 0x4049, 0x0000).buffer),
    ]);
    const shape = [2, 2];
    await write(
      file(
        {
          __metadata__: { format: 'pt' },
          a: { dtype: 'F32', shape, data_offsets: [0, 16] },
          b: { dtype: 'F16', shape, data_offsets: [16, 24] },
          c: { dtype: 'BF16', shape, data_offsets: [24, 32] },
        },
        data,
      ),
    );
    const weights = await openWeights(folder);
    assert.equal(weights.parameterCount, 12);
    assert.deepEqual([...(await weights.read('a'))], [1, -2.5, 3, 4]);
    assert.deepEqual([...(await weights.read('b'))], [1, -2.5, 2 ** -24, Infinity]);
    assert.deepEqual([...(await weights.read('c'))], [1, -2.5, 3.140625, 0]);
    assert.deepEqual([...(await weights.read('a', { first: 1, count: 1 }))], [3, 4]);
    await assert.rejects(weights.read('a', { first: 1, count: 2 }), RangeError);
    await assert.rejects(weights.read('d'), /no tensor d/);
  });

  it('reads a model in several files', async () => {
    const weights = await openWeights(join(fixtures, 'qwen3'));
    assert.ok(new Set([...weights.tensors.values()].map(({ file: path }) => path)).size > 1);
    assert.equal((await weights.read('model.embed_tokens.weight')).length, 96 * 32);
  });

  it('follows the symbolic links of the Hugging Face cache', async () => {
    const target = await mkdtemp(join(tmpdir(), 'r2r-blob-'));
    await writeFile(
      join(target, 'blob'),
      file({ a: { dtype: 'F32', shape: [1], data_offsets: [0, 4] } }, Buffer.from(Float32Array.of(7).buffer)),
    );
    await symlink(join(target, 'blob'), join(folder, 'model.safetensors'));
    const weights = await openWeights(folder);
    assert.equal(weights.tensors.get('a')?.file, join(target, 'blob'));
    assert.deepEqual([...(await weights.read('a'))], [7]);
    await rm(target, { recursive: true });
  });

  it('says which file is missing, and what to convert', async () => {
    await refused('MODEL_FILE_MISSING', /model\.safetensors: no such file; download the model again/);
    await writeFile(join(folder, 'pytorch_model.bin'), '');
    await refused('MODEL_FILE_MISSING', /convert pytorch_model\.bin to safetensors/);
  });

  const tensor = { dtype: 'F32', shape: [2], data_offsets: [0, 8] };
  for (const [title, bytes, message] of [
    ['is too short', Buffer.alloc(4), /has only 4 bytes/],
    ['claims a header longer than itself', file({}, Buffer.alloc(0), 1000n), /claims a header of 1000 bytes/],
    ['claims a header of 2^60 bytes', file({}, Buffer.alloc(0), 2n ** 60n), /claims a header of/],
    ['has no JSON header', file('{nonsense', Buffer.alloc(8)), /header is not a JSON object/],
    ['ends within a tensor', file({ a: tensor }, Buffer.alloc(4)), /tensor a claims bytes 0-8/],
    ['has offsets that contradict the shape', file({ a: { ...tensor, shape: [3] } }, Buffer.alloc(8)), /tensor a claims bytes 0-8 for 12/],
    ['has offsets in the wrong order', file({ a: { ...tensor, data_offsets: [8, 0] } }, Buffer.alloc(8)), /tensor a claims/],
    ['has a negative size', file({ a: { ...tensor, shape: [-2] } }, Buffer.alloc(8)), /entry of tensor a is malformed/],
  ] as const) {
    it(`refuses a file that ${title}`, async () => {
      await write(bytes);
      await refused('MODEL_FILE_INVALID', message);
    });
  }

  it('refuses quantised tensors by name', async () => {
    await write(file({ a: { dtype: 'I8', shape: [2], data_offsets: [0, 2] } }, Buffer.alloc(2)));
    await refused('MODEL_UNSUPPORTED', /tensor a has type I8; use a model stored in F32, F16 or BF16/);
  });
});
