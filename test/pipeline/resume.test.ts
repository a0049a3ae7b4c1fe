import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { isDeath } from './death.ts';
import { finishedFiles, leftovers, temporaryFolder } from './files.ts';
import { MortalFileSystem, type Fate } from './mortal-file-system.ts';
import { runToy } from './toy-steps.ts';

const count = 10;

describe('a step that is interrupted', function () {
  this.timeout(120_000);
  let folder: string;
  let whole: Readonly<Record<string, string>>;
  let operations: number;

  before(async () => {
    folder = temporaryFolder();
    const fileSystem = new MortalFileSystem({ killedAt: Infinity });
    await runToy({ folder: join(folder, 'whole'), count, fileSystem });
    operations = fileSystem.operations;
    whole = finishedFiles(join(folder, 'whole'));
    assert.deepEqual(leftovers(join(folder, 'whole')), []);
    assert.ok(Object.keys(whole).length > 10);
  });
  after(() => rmSync(folder, { recursive: true }));

  /** Runs with each fate in turn, then to the end; what is there must be what an uninterrupted run leaves. */
  async function survives(name: string, fates: readonly Fate[]): Promise<void> {
    const run = { folder: join(folder, name), count };
    for (const fate of fates) {
      const dying = runToy({ ...run, fileSystem: new MortalFileSystem(fate) });
      await dying.catch((error: unknown) => assert.ok(isDeath(error), String(error)));
    }
    await runToy(run);
    assert.deepEqual(finishedFiles(run.folder), whole, JSON.stringify(fates));
    assert.deepEqual(leftovers(run.folder), [], JSON.stringify(fates));
    rmSync(run.folder, { recursive: true });
  }

  it('by a kill at any file operation leaves the same bytes when it has gone on', async () => {
    for (let at = 0; at < operations; at++) await survives('kill', [{ killedAt: at }]);
  });

  it('by a loss of power at any file operation leaves the same bytes when it has gone on', async () => {
    for (let at = 0; at < operations; at++) await survives('power', [{ powerLostAt: at }]);
  });

  it('again and again leaves the same bytes', async () => {
    for (let at = 1; at < 60; at += 7) {
      const fates = Array.from({ length: 6 }, (_, index) => (index % 2 === 0 ? { killedAt: at + index } : { powerLostAt: at + 3 * index }));
      await survives('again', fates);
    }
  });

  it('does not do again what its journal has', async () => {
    const run = { folder: join(folder, 'journal'), count };
    const asked = new Map<string, number>();
    let answers = 0;
    const request = (limit: number) => async (key: string, signal: AbortSignal) => {
      asked.set(key, (asked.get(key) ?? 0) + 1);
      if (++answers > limit) await once(signal, 'abort');
      signal.throwIfAborted();
    };
    const stop = new AbortController();
    const first = runToy({ ...run, request: request(5), signal: stop.signal });
    while (answers < 24) await sleep(1);
    // the five answers are on the disk before a sixth thing happens
    await sleep(50);
    stop.abort(new Error('stopped'));
    await assert.rejects(first, { code: 'PIPELINE_STOPPED', retryable: true });
    const twice = [...asked.keys()];
    await runToy({ ...run, request: request(Infinity) });
    assert.equal(twice.filter((key) => asked.get(key) === 1).length, 5);
    assert.equal(asked.size, 30);
    assert.deepEqual(finishedFiles(run.folder), whole);
  });

  it('by SIGKILL at random instants leaves the same bytes', async () => {
    const run = join(folder, 'signals');
    const program = join(import.meta.dirname, 'toy-process.ts');
    let kills = 0;
    for (let seed = 1; ; seed++) {
      const child = spawn(process.execPath, [program, run, String(count)], { stdio: ['ignore', 'pipe', 'inherit'] });
      const exit = once(child, 'exit');
      if (kills < 20) {
        // from its first word on, since what comes before is node's start
        await once(child.stdout, 'data');
        await sleep((seed * 7919) % 60);
        child.kill('SIGKILL');
      }
      const [code] = (await exit) as [number | null];
      if (code === null) kills++;
      else {
        assert.equal(code, 0);
        if (kills >= 20) break;
        // it was faster than the kill: once more from the beginning
        assert.deepEqual(finishedFiles(run), whole);
        rmSync(run, { recursive: true });
      }
    }
    assert.equal(kills, 20);
    assert.deepEqual(finishedFiles(run), whole);
    assert.deepEqual(leftovers(run), []);
  });
});
