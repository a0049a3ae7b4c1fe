import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { R2RRouter } from '../../src/api/r2rrouter.ts';
import type { R2RRouterStatus, RouterBundleRecord } from '../../src/api/r2rrouter-status.ts';
import type { ApiServer } from '../api/api-server.ts';
import { apiServer } from '../api/api-server.ts';
import { set } from '../api/deployments.ts';
import { routerManifest, routerPath } from '../api/routers.ts';
import { controlPlane } from '../cluster/control-plane.ts';

const programs = {
  kubectl: [join(import.meta.dirname, '../../src/cli/kubectl-r2r.ts'), 'router'],
  r2r: [join(import.meta.dirname, '../../src/cli/main.ts'), 'router'],
} as const;

const digest = (first: string): string => first.padEnd(64, '0');
const newest = digest('aaaaaaaa1');
const middle = digest('aaaaaaaa2');
const refused = digest('bbbbbbbb3');
const oldest = digest('cccccccc4');

const hoursAgo = (hours: number): string => new Date(Date.now() - hours * 3_600_000).toISOString().replace(/\.\d+Z/, 'Z');
const record = (of: string, hours: number, rest: Partial<RouterBundleRecord> = {}): RouterBundleRecord => ({
  digest: of,
  uri: `pvc://math-workspace/store/${of}`,
  hash: of.slice(0, 16),
  recall: 0.961,
  positiveRate: 0.119,
  threshold: 0.8812345,
  rows: 1200,
  gate: 'Passed',
  message: 'recall 96.1%, 11.9% of the tokens to the LLM',
  madeAt: hoursAgo(hours),
  ...rest,
});
const history: readonly RouterBundleRecord[] = [
  record(newest, 3),
  record(middle, 30),
  record(refused, 60, { recall: 0.8, positiveRate: 0.2, gate: 'Refused', message: 'gate.minRecall: recall is 80.0%, below 95.0%' }),
  record(oldest, 100),
];

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

describe('kubectl r2r router history and rollback', function () {
  this.timeout(180_000);
  let server: ApiServer;
  let namespace: string;
  let kubeconfig: string;
  let folder: string;

  before(async () => {
    server = await apiServer();
    namespace = await server.namespace('rollback');
    kubeconfig = (await controlPlane()).kubeconfigFile;
    folder = mkdtempSync(join(tmpdir(), 'r2r-rollback-'));
  });
  after(async () => {
    await server.close();
    rmSync(folder, { recursive: true });
  });

  async function runAs(program: keyof typeof programs, environment: NodeJS.ProcessEnv, args: readonly string[]): Promise<Ended> {
    const child = spawn(process.execPath, [...programs[program], ...args], { env: { ...process.env, ...environment } });
    const output = { stdout: '', stderr: '' };
    for (const stream of ['stdout', 'stderr'] as const) child[stream].on('data', (chunk: Buffer) => (output[stream] += chunk.toString()));
    const [code] = (await once(child, 'close')) as [number | null];
    return { code, ...output };
  }
  const run = (...args: readonly string[]): Promise<Ended> => runAs('kubectl', { KUBECONFIG: kubeconfig }, args);

  /** A stored router whose operator has written this status. */
  async function router(name: string, status: R2RRouterStatus, fields: Readonly<Record<string, unknown>> = {}): Promise<void> {
    const object = routerManifest(name, namespace);
    for (const [path, value] of Object.entries(fields)) set(object, path, value);
    const made = await server.send('POST', routerPath(namespace), object);
    assert.equal(made.status, 201, made.body.message);
    const written = await server.send('PATCH', `${routerPath(namespace, name)}/status`, { status }, 'application/merge-patch+json');
    assert.equal(written.status, 200, written.body.message);
  }
  const offering = (of: string): R2RRouterStatus => ({
    phase: 'Ready',
    history: [...history],
    bundle: { digest: of, uri: `pvc://math-workspace/store/${of}` },
    deployments: [
      { name: 'chat', state: 'Done', digest: of },
      { name: 'search', state: 'Waiting', digest: oldest },
    ],
  });
  const stored = async (name: string): Promise<R2RRouter> =>
    (await server.send('GET', routerPath(namespace, name))).body as unknown as R2RRouter;
  const named = async (name: string): Promise<string | undefined> => (await stored(name)).spec.rollout.bundle;

  it('history: a line for each bundle, the newest first, and as JSON', async () => {
    await router('math', offering(newest));
    const { code, stdout, stderr } = await run('history', 'math', '-n', namespace);
    assert.equal(code, 0, stderr);
    assert.deepEqual(
      stdout
        .trim()
        .split('\n')
        .map((line) => line.replaceAll(/ {3,}/g, ' | ')),
      [
        'DIGEST | AGE | RECALL | POSITIVE | THRESHOLD | GATE | OFFERED | USED BY | MESSAGE',
        'aaaaaaaa1000 | 3h | 96.1% | 11.9% | 0.881 | Passed | yes | chat | recall 96.1%, 11.9% of the tokens to the LLM',
        'aaaaaaaa2000 | 30h | 96.1% | 11.9% | 0.881 | Passed | recall 96.1%, 11.9% of the tokens to the LLM',
        'bbbbbbbb3000 | 2d | 80.0% | 20.0% | 0.881 | Refused | gate.minRecall: recall is 80.0%, below 95.0%',
        'cccccccc4000 | 4d | 96.1% | 11.9% | 0.881 | Passed | search | recall 96.1%, 11.9% of the tokens to the LLM',
      ],
    );
    const wide = await run('history', 'math', '-n', namespace, '-o', 'wide');
    assert.match(wide.stdout, new RegExp(`^${newest} .* 1200 +pvc://math-workspace/store/${newest} `, 'm'));
    const json = await runAs('r2r', {}, ['history', 'math', '-n', namespace, '--kubeconfig', kubeconfig, '-o=json']);
    const { history: listed } = JSON.parse(json.stdout) as {
      history: (RouterBundleRecord & { offered: boolean; deployments: string[] })[];
    };
    assert.deepEqual(
      listed.map(({ offered, deployments, ...rest }) => [offered, deployments, rest]),
      history.map((each, index) => [index === 0, index === 0 ? ['chat'] : index === 3 ? ['search'] : [], each]),
    );
  });

  it('history: of a router that has made none yet', async () => {
    await router('young', { phase: 'Running', summary: { step: 'respond', progress: '37%' } });
    const { code, stdout } = await run('history', 'young', '-n', namespace);
    assert.deepEqual([code, stdout], [0, 'no bundle has been made yet: the R2RRouter is Running, step respond 37%\n']);
  });

  it('rollback: to the newest before the one offered that passed, one further each time, and undone', async () => {
    await router('back', offering(newest));
    const first = await run('rollback', 'back', '-n', namespace);
    assert.equal(first.code, 0, first.stderr);
    assert.equal(await named('back'), middle);
    assert.match(first.stdout, /^spec\.rollout\.bundle of R2RRouter back names aaaaaaaa2000 \(recall 96\.1%, .* made 30h ago\)$/m);
    assert.match(first.stdout, /^it was aaaaaaaa1000 before$/m);
    assert.match(first.stdout, /^deployments get it one after the other, each observed for 120 s: chat, search$/m);
    assert.match(first.stdout, new RegExp(`^to undo: kubectl r2r router rollback back -n ${namespace} --undo$`, 'm'));
    const { metadata } = await stored('back');
    const managers = (metadata as { managedFields?: readonly { manager: string; fieldsV1: object }[] }).managedFields ?? [];
    assert.deepEqual(managers.find(({ manager }) => manager === 'kubectl-r2r')?.fieldsV1, {
      'f:spec': { 'f:rollout': { 'f:bundle': {} } },
    });

    // the operator has not written a status since
    const second = await run('rollback', 'back', '-n', namespace);
    assert.equal(await named('back'), oldest);
    assert.match(second.stdout, /^to undo: kubectl r2r router rollback back -n \S+ --to aaaaaaaa2000$/m);
    const third = await run('rollback', 'back', '-n', namespace, '-o', 'json');
    assert.equal(third.code, 1);
    const { error } = JSON.parse(third.stdout) as { error: { code: string; message: string } };
    assert.equal(error.code, 'ROUTER_NOTHING_BEFORE');
    assert.match(
      error.message,
      /no bundle before cccccccc4000, which is in force, has passed the gate; name one with --to; there are: aaaaaaaa1000 \(passed\)/,
    );

    const undone = await run('rollback', 'back', '-n', namespace, '--undo');
    assert.equal(undone.code, 0, undone.stderr);
    assert.equal(await named('back'), undefined);
    assert.match(undone.stdout, /the newest that passed the gate is offered again: aaaaaaaa1000/);
    assert.match((await run('rollback', 'back', '-n', namespace, '--undo')).stdout, /^nothing is to be undone/);
  });

  it('rollback --to: any bundle of the history, by a beginning that is one’s alone', async () => {
    await router('to', offering(newest));
    const { code, stdout } = await runAs('r2r', { KUBECONFIG: kubeconfig }, [
      'rollback',
      'to',
      '-n',
      namespace,
      '--to',
      'BBBBBBBB',
      '--output=json',
    ]);
    assert.equal(code, 0);
    assert.deepEqual(JSON.parse(stdout), {
      ...{ namespace, name: 'to', changed: true, from: newest, to: refused },
      undo: `kubectl r2r router rollback to -n ${namespace} --undo`,
    });
    assert.equal(await named('to'), refused);
    assert.match(
      (await run('rollback', 'to', '-n', namespace, '--to', refused)).stdout,
      /^note: the gate refused this one: gate\.minRecall/m,
    );
    for (const [to, pattern] of [
      ['aaaaaaaa', /--to aaaaaaaa means any of aaaaaaaa10000000, aaaaaaaa20000000; give more digits/],
      ['dddddddd', /--to dddddddd: status\.history has no such bundle; there are: aaaaaaaa1000 \(passed\), .*bbbbbbbb3000 \(refused\)/],
    ] as const) {
      const wrong = await run('rollback', 'to', '-n', namespace, '--to', to);
      assert.equal(wrong.code, 1);
      assert.match(wrong.stderr, pattern);
    }
    assert.equal(await named('to'), refused);
  });

  it('rollback --undo: refused with policy Manual, naming the field', async () => {
    await router('manual', offering(newest), { 'spec.rollout': { policy: 'Manual', bundle: newest } });
    const { code, stderr } = await run('rollback', 'manual', '-n', namespace, '--undo');
    assert.equal(code, 1);
    assert.match(stderr, /spec\.rollout\.policy is Manual.*name another one with --to, or set spec\.rollout\.policy: Automatic/);
    assert.equal(await named('manual'), newest);
    assert.equal((await run('rollback', 'manual', '-n', namespace)).code, 0);
    assert.equal(await named('manual'), middle);
  });

  it('rollback: refused where there is nothing to go back to or from', async () => {
    await router('single', { history: [record(newest, 1)], bundle: { digest: newest, uri: 'pvc://a' } });
    assert.match((await run('rollback', 'single', '-n', namespace)).stderr, /no bundle before aaaaaaaa1000, which is in force, has passed/);
    await router('empty', { phase: 'Pending' });
    assert.match(
      (await run('rollback', 'empty', '-n', namespace)).stderr,
      /no bundle is offered .*; it is empty: no bundle has been made yet/,
    );
    await router('lost', { history: [record(newest, 1)], bundle: { digest: oldest, uri: 'pvc://a' } });
    assert.match((await run('rollback', 'lost', '-n', namespace)).stderr, /status\.history has no cccccccc4000/);
  });

  it('names those there are for a router that is not there, and takes the namespace of the context', async () => {
    const config = (await controlPlane()).kubeConfig();
    const here = join(folder, 'here');
    writeFileSync(here, config.exportConfig());
    const text = JSON.parse(config.exportConfig()) as { contexts: { name: string; context: { namespace?: string } }[] };
    for (const each of text.contexts) each.context.namespace = namespace;
    writeFileSync(here, JSON.stringify(text));
    const found = await runAs('kubectl', {}, ['history', 'maths', '--kubeconfig', here]);
    assert.equal(found.code, 1);
    assert.match(found.stderr, new RegExp(`there is no R2RRouter "maths" in namespace ${namespace}; there are: back, .*math, `));
    assert.match(
      (await run('history', 'math')).stderr,
      /there is no R2RRouter "math" in namespace default; it has none; give another name/,
    );
    const context = text.contexts[0]?.name ?? '';
    assert.equal((await runAs('kubectl', {}, ['history', 'math', '--kubeconfig', here, '--context', context])).code, 0);
    const other = await runAs('kubectl', {}, ['history', 'math', '--kubeconfig', here, '--context', 'production']);
    assert.match(other.stderr, new RegExp(`--context "production" is not in the kubeconfig; there are: ${context}`));
    const missing = await runAs('kubectl', {}, ['history', 'math', '--kubeconfig', join(folder, 'nowhere')]);
    assert.match(missing.stderr, /the kubeconfig \S+nowhere cannot be read: .*; name another one with --kubeconfig or in KUBECONFIG/);
    assert.deepEqual([other.code, missing.code], [1, 1]);
  });

  it('says what is forbidden, and that the cluster is away', async () => {
    await router('guarded', offering(newest));
    const account = `/api/v1/namespaces/${namespace}/serviceaccounts`;
    await server.send('POST', account, { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'reader' } });
    const rules = [{ apiGroups: ['r2r.dev'], resources: ['r2rrouters'], verbs: ['get'] }];
    const rbac = `/apis/rbac.authorization.k8s.io/v1/namespaces/${namespace}`;
    await server.send('POST', `${rbac}/roles`, { metadata: { name: 'reader' }, rules });
    await server.send('POST', `${rbac}/rolebindings`, {
      metadata: { name: 'reader' },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'reader' },
      subjects: [{ kind: 'ServiceAccount', name: 'reader', namespace }],
    });
    const token = await server.send('POST', `${account}/reader/token`, { spec: {} });
    const file = join(folder, 'reader');
    const plane = await controlPlane();
    writeFileSync(file, plane.kubeConfig((token.body as unknown as { status: { token: string } }).status.token).exportConfig());
    const as = (...args: readonly string[]): Promise<Ended> => runAs('kubectl', { KUBECONFIG: file }, args);
    assert.equal((await as('history', 'guarded', '-n', namespace)).code, 0);
    const denied = await as('rollback', 'guarded', '-n', namespace, '-o', 'json');
    assert.equal(denied.code, 1);
    assert.match(denied.stdout, /^\{"error":\{"code":"CLUSTER_FORBIDDEN"/);
    assert.match(denied.stderr, /cannot patch resource .*; ask for a role that allows it/);
    assert.equal(await named('guarded'), undefined);
    assert.match(
      (await as('history', 'gone', '-n', namespace)).stderr,
      /there is no R2RRouter "gone" in namespace [\w-]+; give another name/,
    );

    const socket = createServer().listen(0, '127.0.0.1');
    await once(socket, 'listening');
    const { port } = socket.address() as { port: number };
    socket.close();
    const away = join(folder, 'away');
    writeFileSync(away, plane.kubeConfig().exportConfig().replace(plane.server, `https://127.0.0.1:${port}`));
    const gone = await runAs('kubectl', { KUBECONFIG: away }, ['history', 'math', '-n', namespace, '-o', 'json']);
    assert.equal(gone.code, 1);
    assert.match(gone.stdout, /"code":"CLUSTER_AWAY"/);
    assert.match(gone.stderr, new RegExp(`check that https://127\\.0\\.0\\.1:${port} is the cluster meant`));
  });

  it('ends with 2 for a command line that cannot be followed', async () => {
    const wrong: readonly (readonly [readonly string[], RegExp])[] = [
      [['history'], /NAME of the R2RRouter is missing/],
      [['history', 'a', 'b'], /one R2RRouter at a time; what is "b"\?/],
      [['history', 'a', '-o', 'yaml'], /--output must be one of json, wide, got "yaml"/],
      [['rollback', 'a', '--to', 'abc'], /--to must be 8 to 64 hexadecimal digits/],
      [['rollback', 'a', '--to', newest, '--undo'], /--to and --undo contradict each other/],
      [['rollback', 'a', '-o', 'wide'], /--output must be json, got "wide"/],
      [['rollback', 'a', '--force'], /--force/],
    ];
    const all = await Promise.all(wrong.map(([args]) => run(...args)));
    for (const [index, { code, stderr }] of all.entries()) {
      assert.equal(code, 2, stderr);
      assert.match(stderr, wrong[index]?.[1] ?? /$^/);
    }
    const help = await run('rollback', '--help');
    assert.ok(help.code === 0 && help.stdout.startsWith('usage: kubectl r2r router rollback NAME'));
  });
});
