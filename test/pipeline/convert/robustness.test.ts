import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { finished } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { convertStep } from '../../../src/pipeline/convert/convert-step.ts';
import { makeSpec, runStep } from '../../../src/pipeline/run-step.ts';
import { finishedFiles, leftovers, temporaryFolder } from '../files.ts';
import { toyContext } from '../toy-steps.ts';
import { convert, refused } from './runs.ts';

const program = join(import.meta.dirname, 'convert-process.ts');

describe('converting, whatever happens', function () {
  this.timeout(120_000);
  let folder: string;
  let params: { readonly datasets: readonly unknown[] };
  before(() => {
    folder = temporaryFolder();
    const path = join(folder, 'source.jsonl');
    writeFileSync(path, Array.from({ length: 1000 }, (_, n) => `${JSON.stringify({ q: `Question ${n % 990}?` })}\n`).join(''));
    params = { datasets: [{ name: 'a', path, question: { field: 'q' } }, 'tiny'] };
  });
  after(() => rmSync(folder, { recursive: true }));

  it('gives the same bytes after 10 kills at random instants', async () => {
    const whole = join(folder, 'whole');
    const { manifest } = await convert(whole, params);
    assert.deepEqual(manifest.counts, { questions: 1990, filtered: 0, empty: 0, duplicates: 10 });
    const killed = join(folder, 'killed');
    for (let kills = 0; kills < 10;) {
      const child = spawn(process.execPath, [program, killed, JSON.stringify(params)], { stdio: ['ignore', 'pipe', 'inherit'] });
      const exit = once(child, 'exit');
      await once(child.stdout, 'data');
      await sleep((kills * 7919) % 97);
      child.kill('SIGKILL');
      const [code] = (await exit) as [number | null];
      if (code === null) kills++;
      else rmSync(killed, { recursive: true });
    }
    await convert(killed, params);
    assert.deepEqual(finishedFiles(killed), finishedFiles(whole));
    assert.deepEqual(leftovers(killed), []);
  });

  const runShard = (inFolder: string, shard: number, shards: number) => {
    const context = { ...toyContext({ folder: inFolder, count: 0, shard, shards }), sources: { cacheFolder: inFolder } };
    return runStep(convertStep, makeSpec(convertStep, params, {}), context);
  };

  it('gives the same data from several shards at the same time', async () => {
    const { manifest } = await convert(join(folder, 'one'), params);
    const shards = join(folder, 'shards');
    await Promise.all([0, 1, 2].map((index) => runShard(shards, index, 3)));
    assert.equal((await convert(shards, params)).manifest.digest, manifest.digest);
  });

  it('removes what a killed process of its own shard has left, though another one has read the sources since, and nothing of others', async () => {
    const shards = join(folder, 'left');
    await runShard(shards, 0, 12);
    const step = readdirSync(shards).find((name) => name.startsWith('convert-')) ?? assert.fail();
    const source = join(shards, step, 'source');
    const before = readdirSync(source);
    const own = ['questions-1.0a1b2c3d4e5f.tmp', 'index.1-0a1b2c3d4e5f.tmp'];
    const others = ['questions-11.0a1b2c3d4e5f.tmp', 'index.11-0a1b2c3d4e5f.tmp'];
    for (const name of [...own, ...others]) writeFileSync(join(source, name), 'begun');
    await runShard(shards, 1, 12);
    assert.deepEqual(readdirSync(source).sort(), [...before, ...others].sort());
  });

  it('reads the sources again when what was kept of them is damaged', async () => {
    const damaged = join(folder, 'damaged');
    const { manifest } = await convert(damaged, params);
    const step = join(damaged, `convert-${manifest.hash}`);
    rmSync(join(step, 'manifest.json'));
    rmSync(join(step, 'parts/part-00000.json'));
    writeFileSync(join(step, 'source/questions-0'), 'something else');
    const error = await refused(convert(damaged, params), 'PIPELINE_PART_CORRUPT', 'step convert, shard 0', 'run step convert again');
    assert.equal(error.retryable, true);
    assert.equal((await convert(damaged, params)).manifest.digest, manifest.digest);
  });

  it('holds no data set in memory', async () => {
    const path = join(folder, 'large.jsonl');
    const file = createWriteStream(path);
    const filling = 'x'.repeat(2000);
    for (let n = 0; n < 150_000; n++)
      if (!file.write(`${JSON.stringify({ q: `Question ${n}? ${filling}`, keep: n % 100 === 0 })}\n`)) await once(file, 'drain');
    await finished(file.end());
    const large = { datasets: [{ name: 'a', path, question: { field: 'q' }, filter: { field: 'keep', equals: true } }] };
    const child = spawn(process.execPath, ['--max-old-space-size=64', program, join(folder, 'large'), JSON.stringify(large)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const said = JSON.parse((await text(child.stdout)).replace('started\n', '')) as { readonly counts: unknown; readonly maxBytes: number };
    assert.deepEqual(said.counts, { questions: 1500, filtered: 148_500, empty: 0, duplicates: 0 });
    // of 300 MB; a node process begins with some 80 MB
    assert.ok(said.maxBytes < 220e6, String(said.maxBytes));
    rmSync(path);
  });
});
