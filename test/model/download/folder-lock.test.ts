import assert from 'node:assert/strict';
import { existsSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { FolderLock } from '../../../src/model/download/folder-lock.ts';
import { until } from '../../cluster/progress.ts';
import { temporaryFolder } from '../../pipeline/files.ts';

const timing = { beatMs: 20, staleMs: 400 };

describe('the lock of a folder', () => {
  let root: string;
  let path: string;
  beforeEach(() => {
    // in memory: a busy disk would keep a holder that lives from saying so in time
    root = temporaryFolder();
    path = join(root, 'lock');
  });
  afterEach(() => rmSync(root, { recursive: true }));

  const never = (): Promise<boolean> => Promise.resolve(false);
  const acquire = (isDone = never, signal = new AbortController().signal): Promise<FolderLock | undefined> =>
    FolderLock.acquire(path, isDone, signal, timing);

  it('is held by one at a time, for as long as it lives', async () => {
    const first = await acquire();
    const second = acquire();
    let got = false;
    void second.then(() => (got = true));
    await sleep(timing.staleMs * 3);
    assert.equal(got, false);
    assert.equal(first?.lost.aborted, false);
    await first.release();
    const lock = await second;
    assert.ok(lock);
    await lock.release();
    assert.deepEqual(readdirSync(root), []);
  });

  it('is taken over from one that has stood still, by one of those who wait', async () => {
    writeFileSync(path, 'somebody who was killed\n');
    writeFileSync(`${path}.0d2f`, 'an earlier one, whose lock another was taking over when it was killed as well\n');
    const holders: FolderLock[] = [];
    const all = Array.from({ length: 4 }, async () => {
      const lock = await acquire();
      assert.ok(lock);
      holders.push(lock);
      assert.equal(holders.length, 1, 'one at a time');
      await sleep(100);
      holders.pop();
      await lock.release();
    });
    await Promise.all(all);
    assert.deepEqual(readdirSync(root), []);
  });

  it('tells its holder when another one has it, and leaves it to that one', async () => {
    const first = await acquire();
    const other = 'another process with an identifier, as long as one is\n';
    writeFileSync(path, other);
    await until('it is lost', 5_000, () => Promise.resolve(first?.lost.aborted), 10);
    assert.match(String(first?.lost.reason), /another process has taken over the folder/);
    await sleep(100);
    assert.equal(readFileSync(path, 'utf8'), other);
    await first?.release();
    assert.ok(existsSync(path));
  });

  it('is no longer waited for when its holder has done what it is for, or the one who waits is stopped', async () => {
    const first = await acquire();
    let done = false;
    const second = acquire(() => Promise.resolve(done));
    await sleep(50);
    done = true;
    assert.equal(await second, undefined);
    const stop = new AbortController();
    const third = acquire(never, stop.signal);
    stop.abort(new Error('stopped'));
    await assert.rejects(third, /stopped/);
    await first?.release();
  });
});
