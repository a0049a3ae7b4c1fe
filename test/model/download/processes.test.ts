import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { DownloadedModel } from '../../../src/model/download/index.ts';
import { randomAt } from '../../../src/router/counter-random.ts';
import { HubServer, type HubFile } from '../fetch/hub-server.ts';
import { scale } from '../../scale.ts';
import { dyingAt, stepsTaken } from '../../support/steps-with-files.ts';
import { filesIn, repository, slowly, wantedOf } from './models.ts';

const program = join(import.meta.dirname, 'downloading-process.ts');
const kills = scale > 1 ? 60 : 8;
const seed = 20_261_129;
const pieceBytes = 50_000;

describe('downloads of models by processes that are killed, or are two', function () {
  this.timeout(60_000 * (scale > 1 ? 15 : 2));
  let hub: HubServer;
  let root: string;
  let folder: string;
  let files: Record<string, HubFile>;
  beforeEach(async () => {
    hub = await new HubServer().start();
    root = mkdtempSync(join(tmpdir(), 'r2r-model-processes-'));
    folder = join(root, 'hub', 'org--model');
    files = repository([900_000, 700_000, 500_000]);
    hub.commit('org/model', files);
    slowly(hub, pieceBytes, () => sleep(8, true));
  });
  afterEach(async () => {
    await hub.stop();
    rmSync(root, { recursive: true });
  });

  /** @param staleMs - so long a holder may be silent; a busy disk keeps one that lives from writing for half a second */
  const start = (
    staleMs: number,
    env: Readonly<Record<string, string>> = {},
    beatMs = 30,
  ): { readonly child: ChildProcess; readonly lines: string[]; readonly ended: Promise<unknown> } => {
    const args = [program, folder, hub.url, String(staleMs), String(beatMs)];
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'], env: { ...process.env, ...env } });
    const lines: string[] = [];
    child.stdout.setEncoding('utf8').on('data', (text: string) => lines.push(...text.split('\n').filter((line) => line !== '')));
    return { child, lines, ended: once(child, 'close') };
  };
  const resultOf = (lines: readonly string[]): DownloadedModel => JSON.parse(lines.at(-1) ?? '{}') as DownloadedModel;

  it(`go on where each of ${kills} killed ones was at a random instant, and leave the same bytes`, async () => {
    const undisturbed = start(250);
    const beganMs = performance.now();
    await undisturbed.ended;
    const lengthMs = performance.now() - beganMs;
    assert.equal(resultOf(undisturbed.lines).fresh, true);
    rmSync(folder, { recursive: true });
    const before = hub.bytesSent;
    const present: number[] = [];
    let [killed, rounds] = [0, 1];
    for (let attempt = 0; killed < kills; attempt++) {
      const { child, lines, ended } = start(250);
      await sleep(lengthMs * randomAt(seed, 1, attempt));
      child.kill('SIGKILL');
      await ended;
      if (child.exitCode === null) killed++;
      // it was faster, and begins anew
      else {
        assert.deepEqual(filesIn(folder), wantedOf(files));
        rmSync(folder, { recursive: true });
        rounds++;
      }
      present.push(Number(lines[0] ?? 0));
    }
    const last = start(250);
    await last.ended;
    assert.deepEqual(filesIn(folder), wantedOf(files), last.lines.join(' '));
    assert.deepEqual(readdirSync(join(root, 'hub')), ['org--model']);
    const total = [...wantedOf(files).values()].reduce((sum, { length }) => sum + length, 0);
    const lost = hub.bytesSent - before - rounds * total;
    // what was on its way to a process when it was killed, four files at a time, is the only loss
    assert.ok(lost < kills * 4 * 4 * pieceBytes + kills * 100_000, `${lost} bytes were sent twice (${present.join(', ')})`);
  });

  it('leave nothing but the model whichever step with files was the last of a killed one', async function () {
    this.timeout(60_000 * (scale > 1 ? 15 : 4));
    files = repository([20_000, 10_000]);
    hub.commit('org/model', files);
    const countFile = join(root, 'steps');
    // nobody else lives to see a sign of life, and their number would depend on the time
    const dying = (step: number) => start(100, dyingAt(step, countFile), 60_000);
    await dying(0).ended;
    const steps = stepsTaken(countFile);
    assert.ok(steps > 50, `${steps}`);
    // with the lock, the plan, the manifest and all tidying; what is between is much the same for each file
    const tried = Array.from({ length: steps }, (_, index) => index + 1).filter((step) => scale > 1 || step <= 16 || step > steps - 16);
    for (const step of tried) {
      rmSync(join(root, 'hub'), { recursive: true });
      const killed = dying(step);
      await killed.ended;
      assert.equal(killed.child.signalCode, 'SIGKILL', `${step} of ${steps}`);
      const next = start(100);
      await next.ended;
      const told = `after step ${step} of ${steps}: ${next.lines.join(' ')}`;
      assert.deepEqual(filesIn(folder), wantedOf(files), told);
      assert.deepEqual(readdirSync(join(root, 'hub')), ['org--model'], told);
      assert.deepEqual(readdirSync(folder).sort(), [...wantedOf(files).keys(), 'r2r-model.json'].sort(), told);
    }
  });

  it('are one where several are told the same: the others wait, and find it', async () => {
    const all = Array.from({ length: 3 }, () => start(20_000));
    await Promise.all(all.map(({ ended }) => ended));
    const results = all.map(({ lines }) => resultOf(lines));
    assert.deepEqual(results.map(({ fresh }) => fresh).sort(), [false, false, true], JSON.stringify(results));
    assert.deepEqual(filesIn(folder), wantedOf(files));
    const total = [...wantedOf(files).values()].reduce((sum, { length }) => sum + length, 0);
    assert.equal(hub.bytesSent, total);
  });

  it('are taken over by the one that waits when the other is killed, or stopped and woken up later', async () => {
    const first = start(1_000);
    await sleep(400);
    const second = start(1_000);
    await sleep(100);
    first.child.kill('SIGSTOP');
    await sleep(2_000);
    first.child.kill('SIGCONT');
    await Promise.all([first.ended, second.ended]);
    const told = `${first.lines.join(' ')} | ${second.lines.join(' ')}`;
    assert.deepEqual(filesIn(folder), wantedOf(files), told);
    // which of the two is told, and how, depends on where the first was when it was stopped; the next try finds the model
    assert.ok(
      [first, second].some(({ lines }) => 'commit' in resultOf(lines)),
      told,
    );
  });
});
