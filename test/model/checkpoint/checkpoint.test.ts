import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { appendFile, open, rename, symlink, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { CheckpointError } from '../../../src/model/checkpoint/errors.ts';
import { readCheckpoint } from '../../../src/model/checkpoint/read-checkpoint.ts';
import { archive, checkpointEntries } from './archives.ts';
import { checkpointPickle, global, pickle, Raw, storage, tensor, tuple, value, type Pickled } from './pickles.ts';
import { Checkpoints } from './refusals.ts';

const four = Buffer.from(Float32Array.of(1, 2, 3, 4).buffer);
const weights = tensor({ of: storage('FloatStorage', '0', 4), shape: [2, 2] });

describe('a checkpoint', () => {
  const checkpoints = new Checkpoints();
  beforeEach(() => checkpoints.start());
  afterEach(() => checkpoints.stop());
  const file = (parts: { readonly [key: string]: Pickled }) => archive(checkpointEntries(checkpointPickle(parts), { 0: four }));
  const rejected = (work: Promise<unknown>, code: string, message: RegExp) =>
    assert.rejects(work, (error) => error instanceof CheckpointError && error.code === code && message.test(error.message));

  describe('has the layout that upstream writes', () => {
    const whole = (root: Pickled) => archive(checkpointEntries(pickle(root), { 0: four }));
    const refused = (bytes: Buffer, message: RegExp) => checkpoints.refused(bytes, 'CHECKPOINT_LAYOUT', message);

    it('or is refused, naming the key', async () => {
      await refused(whole([1]), /holds a list, not a dict/);
      await refused(whole(weights), /holds a tensor, not a dict/);
      await refused(whole({}), /model_type is missing.*save_model/);
      await refused(whole({ w: weights }), /a bare state_dict/);
      await refused(file({ model_type: 1 }), /model_type is a number, not a string/);
      await refused(file({ init_args: [] }), /init_args is a list, not a dict/);
      await refused(file({ common_args: null }), /common_args is None, not a dict/);
      await refused(file({ common_args: { threshold: weights } }), /common_args\["threshold"\] is a tensor/);
      await refused(
        file({ init_args: { a: [0, { b: tuple(global('torch.FloatStorage')) }] } }),
        /init_args\["a"\]\[1\]\["b"\]\[0\] is torch\.FloatStorage/,
      );
      await refused(file({ init_args: { a: new Raw(0x43, 1, 'x') } }), /init_args\["a"\] is bytes/);
      await refused(file({ state_dict: [] }), /state_dict is a list, not a dict/);
      await refused(file({ state_dict: { w: 1 } }), /state_dict\["w"\] is a number, not a tensor/);
      await refused(file({ state_dict: new Raw(0x7d, value(1), value(weights), 0x73) }), /state_dict has the number 1 as a name/);
      await refused(whole({ model_type: 'X' }), /state_dict is missing/);
    });

    it('without keys that could be mistaken for something else', async () => {
      await refused(file({ init_args: { ['__proto__']: { polluted: true } } }), /init_args has the key "__proto__"/);
      await refused(
        file({ init_args: new Raw(0x7d, value(1), value(2), 0x73, value('1'), value(2), 0x73) }),
        /has the key "1".*there twice/,
      );
      assert.equal(({} as Record<string, unknown>).polluted, undefined);
    });

    it('with arguments that may be missing', async () => {
      const bytes = whole({ model_type: 'X', state_dict: { w: weights }, training: {} });
      await checkpoints.read(bytes, (checkpoint) => {
        assert.deepEqual([checkpoint.initArgs, checkpoint.commonArgs, checkpoint.modelSpecificArgs], [{}, {}, {}]);
      });
    });

    it('with tensors that are left out of model_specific_args', async () => {
      const bytes = file({ model_specific_args: { epoch: 3, state: { 0: { step: weights, lr: 0.5 } }, list: [weights, 1] } });
      await checkpoints.read(bytes, (checkpoint) => {
        assert.deepEqual(checkpoint.modelSpecificArgs, { epoch: 3, state: { 0: { lr: 0.5 } }, list: [null, 1] });
      });
    });
  });

  describe('comes from a file', () => {
    it('that must be there and be a file', async () => {
      const missing = join(checkpoints.folder, 'missing.pt');
      await rejected(readCheckpoint(missing), 'CHECKPOINT_UNREADABLE', /missing\.pt: the checkpoint cannot be opened; check the path/);
      await rejected(readCheckpoint(checkpoints.folder), 'CHECKPOINT_UNREADABLE', /is not a regular file/);
      await rejected(readCheckpoint('/dev/zero'), 'CHECKPOINT_UNREADABLE', /is not a regular file/);
      const pipe = join(checkpoints.folder, 'pipe.pt');
      execFileSync('mkfifo', [pipe]);
      await rejected(readCheckpoint(pipe), 'CHECKPOINT_UNREADABLE', /is not a regular file/);
    });

    it('that may be a link', async () => {
      const link = join(checkpoints.folder, 'link.pt');
      await symlink(await checkpoints.write(file({ state_dict: { w: weights } })), link);
      const checkpoint = await readCheckpoint(link);
      assert.deepEqual([...(await checkpoint.tensors.get('w')!.read())], [1, 2, 3, 4]);
      await checkpoint.close();
    });

    it('that stays the one that was checked', async () => {
      const path = await checkpoints.write(file({ state_dict: { w: weights } }));
      const checkpoint = await readCheckpoint(path);
      const handle = await open(path, 'r+');
      await handle.write(Buffer.alloc(8), 0, 8, 200);
      await handle.close();
      await utimes(path, 0, 0);
      await rejected(checkpoint.tensors.get('w')!.read(), 'CHECKPOINT_CHANGED', /was changed while it was read; import a copy/);
      await checkpoint.close();
    });

    it('whose name may be given to another file meanwhile', async () => {
      const path = await checkpoints.write(file({ state_dict: { w: weights } }));
      const aside = join(checkpoints.folder, 'aside.pt');
      await rename(path, aside);
      const checkpoint = await readCheckpoint(aside);
      await checkpoints.write(Buffer.from('another'));
      assert.deepEqual([...(await checkpoint.tensors.get('w')!.read())], [1, 2, 3, 4]);
      await checkpoint.close();
    });

    it('that is closed once, and not read after', async () => {
      const path = await checkpoints.write(file({ state_dict: { w: weights } }));
      const checkpoint = await readCheckpoint(path);
      await checkpoint.close();
      await checkpoint.close();
      await rejected(checkpoint.tensors.get('w')!.read(), 'CHECKPOINT_UNREADABLE', /was closed; read tensors before close/);
    });

    it('that is not left open when it is refused', async () => {
      const path = await checkpoints.write(file({ model_type: 1 }));
      const count = () =>
        execFileSync('sh', ['-c', `ls -l /proc/${process.pid}/fd | grep -c '${path}' || true`], { encoding: 'utf8' }).trim();
      await rejected(readCheckpoint(path), 'CHECKPOINT_LAYOUT', /model_type/);
      assert.equal(count(), '0');
      await appendFile(path, 'x');
      await rejected(readCheckpoint(path), 'CHECKPOINT_DAMAGED', /does not end/);
      assert.equal(count(), '0');
    });
  });
});
