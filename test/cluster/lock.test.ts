import assert from 'node:assert/strict';
import { lstat, mkdir, mkdtemp, readdir, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { run, tryRun } from './commands.ts';
import { locked } from './lock.ts';
import { until } from './progress.ts';

/** Work for several at once, and how many of them were ever at it together. */
function counted() {
  let inside = 0;
  let highest = 0;
  const work = async (): Promise<string> => {
    highest = Math.max(highest, ++inside);
    await new Promise((resolve) => setTimeout(resolve, 20));
    inside--;
    return 'done';
  };
  return { work, most: () => highest };
}

describe('a lock between processes', () => {
  let folder: string;
  beforeEach(async () => (folder = await mkdtemp(join(tmpdir(), 'r2r-lock-'))));
  afterEach(() => rm(folder, { recursive: true }));

  it('lets one holder work at a time, and tells the waiting one who it waits for', async () => {
    const path = join(folder, 'lock');
    const lines: string[] = [];
    const { work, most } = counted();
    await Promise.all([1, 2, 3].map(() => locked(path, (line) => lines.push(line), work)));
    assert.equal(most(), 1);
    assert.match(lines[0] ?? '', new RegExp(`waiting for process ${process.pid}`));
  });

  it('is free again after its holder failed', async () => {
    const path = join(folder, 'lock');
    await assert.rejects(
      locked(
        path,
        () => undefined,
        () => Promise.reject(new Error('no')),
      ),
      /^Error: no$/,
    );
    await assert.rejects(lstat(path), { code: 'ENOENT' });
  });

  it('is taken over from a holder that died, by one of those that wait', async () => {
    const path = join(folder, 'lock');
    const dead = (await run('sh', ['-c', 'echo $$'])).trim();
    await symlink(dead, path);
    await symlink(dead, `${path}.takeover`);
    const { work, most } = counted();
    const silent = () => undefined;
    assert.deepEqual(await Promise.all([1, 2, 3].map(() => locked(path, silent, work))), ['done', 'done', 'done']);
    assert.equal(most(), 1);
    assert.deepEqual(await readdir(folder), []);
  });

  it('says so when something else is in its place', async () => {
    const path = join(folder, 'lock');
    await mkdir(path);
    await assert.rejects(
      locked(
        path,
        () => undefined,
        () => Promise.resolve(),
      ),
      /lock is not a lock of this version, .* remove it/,
    );
  });
});

describe('a command', () => {
  it('that fails says what it was and what it printed', async () => {
    await assert.rejects(run('sh', ['-c', 'echo broken >&2; exit 3']), {
      code: 'COMMAND_FAILED',
      message: /sh -c echo broken >&2; exit 3\n {2}exit status 3: broken/,
    });
    await assert.rejects(run('/no/such/program', []), { code: 'COMMAND_FAILED', message: /ENOENT/ });
    assert.equal(await tryRun('false', []), undefined);
  });

  it('gets its input and reports lines of standard error as they come', async () => {
    const lines: string[] = [];
    const output = await run('sh', ['-c', 'cat; echo one >&2; echo two >&2'], { input: 'text', onLine: (line) => lines.push(line) });
    assert.equal(output, 'text');
    assert.deepEqual(lines, ['one', 'two']);
  });

  it('that hangs is killed at its deadline', async () => {
    await assert.rejects(run('sleep', ['60'], { timeoutMs: 50 }), { message: /ended by SIGKILL/ });
  });
});

describe('waiting for something', () => {
  it('names it and the last obstacle when it does not come', async () => {
    const attempt = () => Promise.reject(new Error('still dark'));
    await assert.rejects(until('the sun rises', 20, attempt, 5), { message: 'the sun rises: not within 0 s: still dark' });
  });

  it('returns what came', async () => {
    let count = 0;
    assert.equal(await until('three', 5000, () => Promise.resolve(++count === 3 && 'three'), 1), 'three');
  });
});
