import assert from 'node:assert/strict';
import { chownSync, cpSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseAllDocuments } from 'yaml';
import type { Condition } from '../../src/api/r2rdeployment-status.ts';
import type { JobName } from '../../src/api/r2rrouter-jobs.ts';
import type { R2RRouter } from '../../src/api/r2rrouter.ts';
import { run } from '../cluster/commands.ts';
import { loadImages } from '../cluster/images.ts';
import { until } from '../cluster/progress.ts';
import { settings, stateFolder } from '../cluster/settings.ts';
import { progress, whyNoCluster } from '../cluster/shared.ts';
import { S3Server } from '../support/s3/s3-server.ts';
import { operatorEnvironment } from './operator-environment.ts';
import type { Environment } from './operator-environment.ts';

const namespace = 'r2r-e2e-faults';
const root = join(import.meta.dirname, '../..');
/** Of the pods. */
const user = 10_001;
const models = '/opt/r2r/examples/models';
const bucket = 'bundles';

/** Everything that can go wrong on the way to one router, one thing after the other: what the resource says, and that it goes on. */
describe('an R2RRouter to which everything happens', function () {
  this.timeout(600_000);
  let env: Environment;
  let folder: string;
  let store: S3Server;
  const mounts: string[] = [];

  before(async function () {
    this.timeout(1_800_000);
    if (whyNoCluster() !== undefined || process.env.R2R_TEST_CONTEXT) this.skip();
    env = await operatorEnvironment();
    await loadImages(env.cluster, ['trainer'], progress);
    await env.cluster.kubectl(['delete', 'namespace', namespace, '--ignore-not-found', '--timeout=120s'], { timeoutMs: 130_000 });
    await env.cluster.kubectl(['create', 'namespace', namespace]);
    await env.cluster.kubectl(['label', 'namespace', namespace, 'pod-security.kubernetes.io/enforce=restricted']);
    folder = mkdtempSync(join(tmpdir(), 'r2r-faults-'));
    store = await S3Server.start({ folder, bucket, address: settings.nodeAddress });
    await store.kill();
  });
  after(async () => {
    const cluster = (env as Environment | undefined)?.cluster;
    await cluster?.kubectl(['delete', 'namespace', namespace, '--ignore-not-found', '--timeout=120s'], { timeoutMs: 130_000 });
    for (const name of mounts) {
      await cluster?.kubectl(['delete', 'persistentvolume', name, '--ignore-not-found', '--wait=false']);
      await run('umount', [diskOf(name)]);
    }
    if (cluster) {
      await store.kill();
      rmSync(folder, { recursive: true, force: true });
    }
  });

  const read = (name: string): Promise<R2RRouter> => env.get('r2rr', name, '--namespace', namespace);
  const patch = (name: string, spec: object): Promise<string> =>
    env.cluster.kubectl(['patch', 'r2rr', name, '--namespace', namespace, '--type=merge', '--patch', JSON.stringify({ spec })]);
  const conditionOf = async (name: string, type: string): Promise<Condition | undefined> =>
    (await read(name)).status?.conditions?.find((each) => each.type === type);
  const stepOf = async (name: string, of: JobName) => (await read(name)).status?.steps?.find((each) => each.name === of);
  const done = (name: string, of: JobName): Promise<unknown> =>
    until(`${of} is done`, 240_000, async () => {
      const step = await stepOf(name, of);
      if (step?.state !== 'Done') throw new Error(`it is ${step?.state}: ${step?.failure?.message ?? 'no failure'}`);
      return true;
    });
  /** Waits until a step has failed and Ready says so, False. */
  const failed = (name: string, of: JobName, reason: string, message: RegExp) =>
    until(`${of} fails with ${reason}: ${message.source}`, 180_000, async () => {
      const [step, ready] = [await stepOf(name, of), await conditionOf(name, 'Ready')];
      const over = step?.state === 'Failed' || step?.state === 'Retrying';
      const fits = ready?.status === 'False' && ready.reason === reason && message.test(ready.message);
      if (!over || !step.failure || !fits) throw new Error(`it is ${step?.state}, and Ready says ${ready?.reason}: ${ready?.message}`);
      return step.failure;
    });
  /** Where the files of a bound claim lie on this machine. */
  const folderOf = (claim: string): Promise<string> =>
    until(`claim ${claim} is bound`, 60_000, async () => {
      const { spec } = await env.get<{ spec: { volumeName?: string } }>('persistentvolumeclaim', claim, '--namespace', namespace);
      if (spec.volumeName === undefined) return undefined;
      const volume = await env.get<{ spec: { hostPath: { path: string } } }>('persistentvolume', spec.volumeName);
      return volume.spec.hostPath.path;
    });

  /** The example with few questions, and Jobs that give up at the first pod, so that each fault is told at once. */
  function router(name: string, storage: object, datasets?: readonly object[], more: object = {}): object {
    const [example] = parseAllDocuments(readFileSync(join(root, 'examples/r2rrouter.yaml'), 'utf8')).map(
      (each) => each.toJS() as R2RRouter,
    );
    assert.ok(example?.spec.source.pipeline);
    const { pipeline } = example.spec.source;
    return {
      ...example,
      metadata: { name, namespace },
      spec: {
        ...example.spec,
        ...more,
        gate: { minRecall: 0 },
        jobs: { backoffLimit: 0 },
        source: { pipeline: { ...pipeline, numItems: 12, ...(datasets && { datasets }) } },
        storage,
      },
    };
  }

  it('says which step failed, in which shard and field, and how to mend it; mended, it goes on where it was', async () => {
    const claim = { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } };
    await env.apply({ apiVersion: 'v1', kind: 'PersistentVolumeClaim', metadata: { name: 'family', namespace }, spec: claim });
    const other = join(await folderOf('family'), 'other');
    cpSync(join(root, 'examples/models/llm'), other, { recursive: true });
    const tokenizer = join(other, 'tokenizer.json');
    writeFileSync(tokenizer, readFileSync(tokenizer, 'utf8').replace('"<|im_end|>"', '"<|the_end|>"'));
    for (const each of ['', ...readdirSync(other)]) chownSync(join(other, each), user, user);
    await env.apply({
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: 'store', namespace },
      stringData: { 'access-key-id': S3Server.accessKeyId, 'secret-access-key': S3Server.secretAccessKey },
    });
    const dataset = { name: 'sums', idField: 'id', questionField: 'question', answerField: 'answer', type: 'Math' };
    const wrong = [{ ...dataset, path: `${models}/problems/lost.jsonl` }];
    const right = [{ ...dataset, path: `${models}/problems/train.jsonl` }];
    const storage = { bundles: { s3: { bucket, endpoint: store.endpoint, credentialsSecretName: 'store' } } };
    const foreign = { llm: { model: 'pvc://family/other', engine: 'CPU' } };
    const nonsense = { verifier: { model: `${models}/llm`, engine: 'CPU' } };
    await env.apply(router('troubled', storage, wrong, { models: { ...foreign, ...nonsense } }));

    // a data set that is not there
    const missing = await failed('troubled', 'convert', 'PipelineSource', /step convert, shard 0.*lost\.jsonl/s);
    assert.equal((await conditionOf('troubled', 'Stalled'))?.status, 'True');
    assert.deepEqual([missing.field, missing.retryable], ['path', false]);
    await patch('troubled', { source: { pipeline: { datasets: right } } });

    // a large model whose tokenizer is of another family
    const family = await failed('troubled', 'respond', 'PipelineModel', /step respond, shard 0: .*two families.*im_end/s);
    assert.deepEqual([family.field, family.retryable], ['models', false]);
    await patch('troubled', { models: { llm: null } });

    // a verifier that answers something else than 0 or 1
    const babble = await failed(
      'troubled',
      'verify',
      'PipelineVerifier',
      /step verify, shard 0: .*neither 0 nor 1.*it answered, for example, "/s,
    );
    assert.deepEqual([babble.field, babble.retryable], ['params.maxUnknownShare', false]);
    const finished = (await read('troubled')).status?.steps?.filter(({ state }) => state === 'Done');
    assert.deepEqual(
      finished?.map(({ name }) => name),
      ['convert', 'respond', 'prefill', 'continue'],
    );

    // a finished file that is not any more what was written
    const workspace = await folderOf('troubled-workspace');
    const hash = (await stepOf('troubled', 'continue'))?.hash ?? assert.fail();
    const data = join(workspace, `continue-${hash}`, 'data');
    const part = join(data, readdirSync(data)[0] ?? assert.fail());
    const bytes = readFileSync(part);
    bytes[bytes.length >> 1]! ^= 1;
    writeFileSync(part, bytes);
    await patch('troubled', { models: { verifier: null } });
    const damage = await until('the damage is told', 120_000, async () => {
      const { items } = await env.get<{ items: readonly { note: string; regarding: { name: string } }[] }>(
        'events.events.k8s.io',
        '--namespace',
        namespace,
      );
      return items.find(({ note, regarding }) => regarding.name === 'troubled' && note.includes('PIPELINE_PART_CORRUPT'))?.note;
    });
    assert.match(damage, /step continue, shard 0, .*run step continue again/);
    // nobody needs to do anything: the step makes that part again
    await done('troubled', 'verify');

    // an object store that is down
    const down = await failed(
      'troubled',
      'bundle',
      'PipelineStore',
      new RegExp(`step bundle.*${settings.nodeAddress.replaceAll('.', '[.]')}`, 's'),
    );
    assert.equal(down.retryable, true);
    await store.startAgain();
    await done('troubled', 'bundle');
    const { status } = await read('troubled');
    assert.match(status?.bundle?.uri ?? '', /^s3:/);
    for (const { name, hash: last } of finished) assert.equal(status?.steps?.find((each) => each.name === name)?.hash, last, name);
  });

  it('says that the workspace is full, and goes on by itself when there is room', async () => {
    const name = 'r2r-small-volume';
    const disk = diskOf(name);
    mkdirSync(disk, { recursive: true });
    await run('mount', ['-t', 'tmpfs', '-o', `size=1m,uid=${user},gid=${user},mode=770`, 'tmpfs', disk]);
    mounts.push(name);
    await env.apply({
      apiVersion: 'v1',
      kind: 'PersistentVolume',
      metadata: { name },
      spec: {
        capacity: { storage: '1Gi' },
        accessModes: ['ReadWriteOnce'],
        persistentVolumeReclaimPolicy: 'Retain',
        storageClassName: 'r2r-small',
        hostPath: { path: disk, type: 'Directory' },
      },
    });
    await env.apply(router('full', { workspace: { size: '1Gi', storageClassName: 'r2r-small' } }));
    const full = await until('a step finds the workspace full', 180_000, async () =>
      (await read('full')).status?.steps?.find(({ failure }) => failure?.code === 'PIPELINE_NO_SPACE'),
    );
    await failed('full', full.name, 'PipelineNoSpace', /step \w+, shard 0.*the workspace is full; enlarge its claim/s);
    await run('mount', ['-o', 'remount,size=256m', disk]);
    await done('full', 'construct');
    await patch('full', { jobs: { suspend: true } });
  });
});

function diskOf(name: string): string {
  return join(stateFolder, 'volumes', name);
}
