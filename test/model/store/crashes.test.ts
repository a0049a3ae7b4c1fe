import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { openBundle } from '../../../src/model/bundle.ts';
import { BundleStore, FolderBlobs, StoreError } from '../../../src/model/store/index.ts';
import { bounded, scale } from '../../scale.ts';
import { makeBundle, type MadeBundle } from './bundles.ts';
import { Ended, FailingOperations, unflushedOperations } from './failing-operations.ts';

const signal = new AbortController().signal;
const owner = 'team/chat';
type Step = 'put' | 'put other' | 'pin' | 'unpin' | 'delete' | 'sweep';

describe('a folder of bundles whose process ends at any operation', function () {
  this.timeout(60_000 * scale);
  let folder: string;
  let one: MadeBundle;
  let other: MadeBundle;
  let count = 0;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'r2r-crashes-'));
    one = makeBundle(join(folder, 'one'), 1);
    other = makeBundle(join(folder, 'other'), 2);
  });
  after(() => rmSync(folder, { recursive: true }));

  const run = async (store: BundleStore, step: Step): Promise<void> => {
    const steps: Readonly<Record<Step, () => Promise<unknown>>> = {
      put: () => store.put(one.folder, signal),
      'put other': () => store.put(other.folder, signal),
      pin: () => store.pin(one.digest, { owner, expiresMs: null }, signal),
      unpin: () => store.unpin(one.digest, owner, signal),
      delete: () => store.delete(one.digest, signal),
      sweep: () => store.sweep(0, signal),
    };
    await steps[step]();
  };

  /** Runs the steps in a process that ends at an operation, looks at what is left, and lets another one go on a day later. */
  async function crash(steps: readonly Step[], end: number, powerCut: boolean): Promise<boolean> {
    const root = join(folder, `store${++count}`);
    const operations = new FailingOperations(end);
    const dying = new BundleStore(new FolderBlobs(root, { operations }));
    // what a step that has returned promises
    let stored = false;
    let pinned = false;
    try {
      for (const step of steps) {
        if (step === 'unpin') pinned = false;
        if (step === 'delete' && !pinned) stored = false;
        try {
          await run(dying, step);
        } catch (error) {
          if (error instanceof Ended || operations.ended) throw error;
          assert.ok(error instanceof StoreError, String(error));
          assert.match(error.code, /^STORE_(IN_USE|MISSING)$/);
          assert.ok(step === 'delete' ? pinned : !stored, `${step}: ${error.message}`);
          continue;
        }
        if (step === 'delete') assert.ok(!pinned, 'what is pinned is not deleted');
        if (step === 'put') stored = true;
        if (step === 'pin') pinned = true;
      }
    } catch (error) {
      if (!(error instanceof Ended) && !operations.ended) throw error;
    }
    if (powerCut) operations.lose();

    const blobs = new FolderBlobs(root, { operations: unflushedOperations });
    const after = new BundleStore(blobs);
    const listed = await after.list(signal);
    for (const { digest } of listed) await openBundle(await after.get(digest, '', signal));
    const isThere = listed.some(({ digest }) => digest === one.digest);
    assert.ok(!stored || isThere, 'what was stored is there');
    assert.ok(!pinned || isThere, 'what is pinned is there');
    assert.ok(!pinned || (await after.pins(one.digest, signal)).some((pin) => pin.owner === owner), 'and is still pinned');

    const nextDay = new BundleStore(blobs, { now: () => Date.now() + 86_400_000 });
    await nextDay.put(one.folder, signal);
    await openBundle(await nextDay.get(one.digest, '', signal));
    await nextDay.sweep(-1_000, signal);
    await nextDay.unpin(one.digest, owner, signal);
    for (const { digest } of await nextDay.list(signal)) {
      await openBundle(await nextDay.get(digest, '', signal));
      await nextDay.delete(digest, signal);
    }
    const left = ['bundles/', 'deleting/'].map((name) => blobs.list(name, signal));
    assert.deepEqual((await Promise.all(left)).flat(), []);
    assert.deepEqual(existsSync(join(root, '.writing')) ? readdirSync(join(root, '.writing')) : [], []);
    rmSync(root, { recursive: true });
    return operations.ended;
  }

  for (const steps of [['put'], ['put', 'pin', 'delete'], ['put', 'delete', 'put']] as const)
    it(`keeps what it has promised: ${steps.join(', ')}, ended at its operations`, async () => {
      let end = 0;
      const stride = steps.length === 1 || scale > 1 ? 1 : 3;
      while (await crash(steps, end, end % 2 === 0)) end += stride;
      assert.ok(end > 20, `${end} operations`);
    });

  it('keeps what it has promised after any steps', async () => {
    const step = fc.constantFrom<Step>('put', 'put other', 'pin', 'unpin', 'delete', 'sweep');
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 8 }), fc.nat(200), fc.boolean(), async (steps, end, powerCut) => {
        await crash(steps, end, powerCut);
      }),
      { ...bounded(60, 20_000), seed: 20261122 },
    );
  });
});
