import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { until } from '../cluster/progress.ts';
import { whyNoCluster } from '../cluster/shared.ts';
import { example, operatorEnvironment, operatorNamespace } from './operator-environment.ts';
import type { Environment } from './operator-environment.ts';

const namespace = 'r2r-plugin';
const name = 'seen';
const program = join(import.meta.dirname, '../../src/cli/kubectl-r2r.ts');

describe('kubectl r2r, of a deployment on a real node', function () {
  this.timeout(300_000);
  let env: Environment;
  let folder: string;

  before(async function () {
    this.timeout(1_800_000);
    if (whyNoCluster() !== undefined || process.env.R2R_TEST_CONTEXT) this.skip();
    env = await operatorEnvironment();
    folder = mkdtempSync(join(tmpdir(), 'r2r-plugin-'));
    await env.cluster.kubectl(['delete', 'namespace', namespace, '--ignore-not-found', '--timeout=120s'], { timeoutMs: 130_000 });
    await env.cluster.kubectl(['create', 'namespace', namespace]);
    await env.apply(example(namespace, name));
    await env.condition(namespace, name, 'Ready', { status: 'True' }, 240_000);
  });
  after(async () => {
    // hooks run also where `before` has skipped
    if ((folder as string | undefined) === undefined) return;
    rmSync(folder, { recursive: true });
    await env.cluster.kubectl(['delete', 'namespace', namespace, '--wait=false']);
  });

  async function run(...args: readonly string[]): Promise<string> {
    const flags = env.cluster.kubeconfig === undefined ? [] : ['--kubeconfig', env.cluster.kubeconfig];
    const child = spawn(process.execPath, [program, ...args, ...flags], { stdio: ['ignore', 'pipe', 'pipe'] });
    let [stdout, stderr] = ['', ''];
    child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
    const [code] = (await once(child, 'close')) as [number | null];
    assert.equal(code, 0, stderr);
    return stdout;
  }

  it('status: running pods, and what their router answers through the API server', async () => {
    const text = await run('status', name, '-n', namespace);
    assert.match(text, /^ {2}ready +True, /m);
    assert.match(text, new RegExp(`${name}-[0-9a-f]{8}-slm-\\S+ +2/2 +Running +\\d+ `));
    assert.match(text, /router: neural, threshold \S+, bundle [0-9a-f]{12}, 0 in flight/);
    assert.match(text, new RegExp(`${name}-[0-9a-f]{8}-llm-\\S+ +1/1 +Running +\\d+ `));
    assert.doesNotMatch(text, /^note:/m);
  });

  it('top: numbers from the routers themselves', async () => {
    const text = await run('top', name, '-n', namespace, '--interval', '1', '--routers');
    assert.match(text, new RegExp(`^${name} +1/1 +2/2 .* live$`, 'm'));
    assert.match(text, /^└─ \S+ +2\/2 /m);
  });

  it('events: from the scheduler and the kubelet beside the operator’s', async () => {
    const { events } = JSON.parse(await run('events', name, '-n', namespace, '-o', 'json')) as {
      events: { kind: string; reason: string }[];
    };
    const seen = new Set(events.map(({ kind, reason }) => `${kind} ${reason}`));
    for (const each of ['Pod Scheduled', 'Pod Started', 'R2RDeployment RolloutStarted']) assert.ok(seen.has(each), [...seen].join(', '));
  });

  it('status: says in the pod’s own words what is wrong with an image', async () => {
    await env.patch(namespace, name, { spec: { llm: { image: 'registry.invalid/no/such:image' } } });
    const text = await until('the image is told of', 60_000, async () => {
      const now = await run('status', name, '-n', namespace);
      if (!/registry\.invalid\/no\/such:image cannot be pulled/.test(now)) throw new Error(now);
      return now;
    });
    assert.match(text, /revision [0-9a-f]{8} serves, to be replaced/);
    assert.match(text, /revision [0-9a-f]{8} is coming up/);
  });

  it('support-bundle: logs from the kubelet, the operator’s metrics, and nothing missing but what has not started', async () => {
    const file = join(folder, 'bundle.tar.gz');
    await run('support-bundle', name, '-n', namespace, '-o', file, '--operator-namespace', operatorNamespace);
    execFileSync('tar', ['-xzf', file, '-C', folder]);
    const { files, missing } = JSON.parse(readFileSync(join(folder, 'r2r-support/index.json'), 'utf8')) as {
      files: { path: string; bytes: number }[];
      missing: { what: string; why: string }[];
    };
    const has = (pattern: RegExp): boolean => files.some(({ path, bytes }) => pattern.test(path) && bytes > 0);
    for (const pattern of [
      /^operator\/logs\/r2r-operator-\S+\/operator\.log$/,
      /^operator\/metrics\/r2r-operator-/,
      new RegExp(`^namespaces/${namespace}/logs/${name}-\\S+-slm-\\S+/router\\.log$`),
      new RegExp(`^namespaces/${namespace}/pages/${name}-\\S+-slm-\\S+/metrics\\.txt$`),
      new RegExp(`^namespaces/${namespace}/events\\.txt$`),
      /^nodes\.yaml$/,
    ])
      assert.ok(has(pattern), `${pattern} is not among ${files.map(({ path }) => path).join(', ')}`);
    assert.deepEqual(missing, []);
  });
});
