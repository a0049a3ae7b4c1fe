import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { randomAt } from '../../src/router/counter-random.ts';
import { stepNames, type StepName } from '../../src/pipeline/step-identity.ts';
import { leftovers } from '../pipeline/files.ts';
import { scale } from '../scale.ts';
import { dyingAt, stepsTaken } from '../support/steps-with-files.ts';
import { PipelineProcesses } from './pipeline-processes.ts';

/** Of each step. */
const kills = scale > 1 ? 20 : 2;
/** As many of its steps with files, from the first to the last. */
const deaths = scale > 1 ? 80 : 2;
const seed = 20_261_129;

/**
 * Each step's process is killed at random instants, from its first word to the end of an undisturbed run, and goes on; once it is done it begins
 * anew, until it has been killed so many times. All in one workspace, step after step.
 */
describe(`each step's process, killed ${kills} times at random instants`, function () {
  this.timeout(60_000 * (scale > 1 ? 10 : 2));
  let processes: PipelineProcesses;
  let workspace: string;
  before(async () => {
    processes = await PipelineProcesses.start(10);
    workspace = join(processes.folder, 'killed');
  });
  after(() => processes[Symbol.asyncDispose]());

  /** Starts a step, and resolves with the time of its first word. */
  async function begin(step: StepName) {
    const running = processes.start(workspace, processes.specOf(step));
    await new Promise<void>((resolve) => running.child.stdout?.once('data', () => resolve()));
    return { ...running, beganMs: performance.now() };
  }

  for (const [index, step] of stepNames.entries())
    it(`${step} leaves the same bytes`, async () => {
      const folder = join(workspace, processes.folderOf(step));
      const undisturbed = await begin(step);
      assert.equal((await undisturbed.ended).code, 0);
      const lengthMs = performance.now() - undisturbed.beganMs;
      processes.assertSame(workspace, step);
      rmSync(folder, { recursive: true });
      let [killed, whole] = [0, 0];
      for (let attempt = 0; killed < kills || whole === 0; attempt++) {
        const running = await begin(step);
        if (killed < kills) {
          await sleep(lengthMs * randomAt(seed, index, attempt));
          running.child.kill('SIGKILL');
        }
        const { code, stdout, stderr } = await running.ended;
        if (code === null) killed++;
        else {
          assert.equal(code, 0, stdout + stderr);
          processes.assertSame(workspace, step);
          assert.deepEqual(leftovers(folder), []);
          // it was faster than the kill, and begins anew
          if (killed < kills) rmSync(folder, { recursive: true });
          else whole++;
        }
      }
      assert.equal(killed, kills);
    });

  for (const [index, step] of stepNames.entries())
    it(`${step} leaves the same bytes when it is killed right before one of ${deaths} steps with files`, async () => {
      const folder = join(workspace, processes.folderOf(step));
      const countFile = join(processes.folder, 'steps');
      const run = async (lastStep: number) => {
        rmSync(folder, { recursive: true });
        const wrap = ['env', ...Object.entries(dyingAt(lastStep, countFile)).map(([name, value]) => `${name}=${value}`)];
        return (await processes.start(workspace, processes.specOf(step), processes.servers(), wrap).ended).code;
      };
      assert.equal(await run(0), 0);
      const steps = stepsTaken(countFile);
      for (let death = 0; death < deaths; death++) {
        const lastStep = 1 + Math.floor(((death + randomAt(seed, index, death)) / deaths) * steps);
        await run(lastStep);
        await processes.done(workspace, processes.specOf(step));
        processes.assertSame(workspace, step);
        assert.deepEqual(leftovers(folder), [], `killed before step ${lastStep} of ${steps}`);
      }
    });

  it('and the label set at the end is that of an uninterrupted run', () => {
    for (const step of stepNames) processes.assertSame(workspace, step);
  });
});
