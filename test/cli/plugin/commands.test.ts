import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse } from 'yaml';
import type { StatusReport } from '../../../src/cli/status/status.ts';
import type { ApiServer } from '../../api/api-server.ts';
import { apiServer } from '../../api/api-server.ts';
import { manifest } from '../../api/deployments.ts';
import { routerManifest } from '../../api/routers.ts';
import { controlPlane } from '../../cluster/control-plane.ts';
import { until } from '../../router/stage.ts';
import { crashingPod, imagePullPod, readyPod, revisions, rollingStatus, routerAnswer, runningRouterStatus, stepPod } from './fixtures.ts';
import { at, kubectlR2R, machineAddress, paths, podPages, put, tokenWith, type Ended, type Pages } from './world.ts';

describe('kubectl r2r status, top and events', function () {
  this.timeout(300_000);
  let server: ApiServer;
  let namespace: string;
  let kubeconfig: string;
  let folder: string;
  let router: Pages;
  let calls = 1000;
  const run = (...args: readonly string[]): Promise<Ended> => kubectlR2R({ KUBECONFIG: kubeconfig }, ...args);

  before(async () => {
    server = await apiServer();
    namespace = await server.namespace('plugin');
    kubeconfig = (await controlPlane()).kubeconfigFile;
    folder = mkdtempSync(join(tmpdir(), 'r2r-plugin-'));
    router = await podPages({ '/r2r/status': () => JSON.stringify(routerAnswer((calls += 100))) });
    const now = new Date();
    await put(server, paths.deployments(namespace), { ...manifest('chat', namespace), status: rollingStatus(now) });
    await put(server, paths.deployments(namespace), {
      ...manifest('quiet', namespace),
      status: { routing: { ratio: 0.2, tokensPerSecond: 5 } },
    });
    await put(server, paths.routers(namespace), { ...routerManifest('math', namespace), status: runningRouterStatus(now) });
    const address = machineAddress();
    for (const pod of [
      at(readyPod(now, 'chat', revisions.old, 'slm', 'abcde', 'gpu-1', router.port), address),
      readyPod(now, 'chat', revisions.old, 'llm', 'klmno', 'gpu-2'),
      imagePullPod(now, 'chat', revisions.next, 'pqrst', 'gpu-3'),
      crashingPod(now, 'chat', revisions.next, 'crash', 'gpu-3'),
      stepPod(now, 'math', 'respond', 0, 'gpu-1'),
    ])
      await put(server, paths.pods(namespace), pod);
  });
  after(async () => {
    router.close();
    await server.close();
    rmSync(folder, { recursive: true });
  });

  async function as(name: string, rules: readonly object[]): Promise<(...args: readonly string[]) => Promise<Ended>> {
    const file = join(folder, name);
    const plane = await controlPlane();
    writeFileSync(file, plane.kubeConfig(await tokenWith(server, namespace, name, rules)).exportConfig());
    return (...args) => kubectlR2R({ KUBECONFIG: file }, ...args, '-n', namespace);
  }

  it('status: the tree with each pod’s own words, and what its router answers through the API server', async () => {
    const { code, stdout, stderr } = await run('status', 'chat', '-n', namespace);
    assert.equal(code, 0, stderr);
    for (const pattern of [
      new RegExp(`^R2RDeployment chat in namespace ${namespace}, \\d+s old$`, 'm'),
      /^ {2}ready +False, ImagePullBackOff: 0 of 1 replicas are ready/m,
      /^ {2}revision +7c9f1a2b serves, 81d0aa31 is being rolled out$/m,
      /^ {2}router +neural, threshold 0\.881, bundle aaaaaaaa1000 \(int8\)$/m,
      /chat-7c9f1a2b-slm-5d4f8d9c7-abcde +2\/2 +Running +0 /,
      /router: neural, threshold 0\.881, bundle aaaaaaaa1000, 3 in flight/,
      /chat-81d0aa31-llm-5d4f8d9c7-pqrst +0\/1 +ImagePullBackOff +0 /,
      /CrashLoopBackOff +7 /,
      /torch\.OutOfMemoryError: CUDA out of memory;/,
      /^ {2}LLMReady +False +ImagePullBackOff/m,
    ])
      assert.match(stdout, pattern);
    assert.ok(router.asked.every((path) => path === '/r2r/status') && router.asked.length > 0);
  });

  it('status: everything of a namespace, a router by its kind, as JSON and YAML', async () => {
    const all = await run('status', '-n', namespace);
    assert.match(all.stdout, /^R2RDeployment chat [\s\S]*^R2RDeployment quiet [\s\S]*^R2RRouter math /m);
    const one = await run('status', 'router/math', '-n', namespace, '-o', 'json');
    const { routers } = JSON.parse(one.stdout) as StatusReport;
    assert.deepEqual(
      routers.map(({ name, steps }) => [name, steps.map((step) => [step.name, step.state, step.pods.length])]),
      [
        [
          'math',
          [
            ['convert', 'Done', 0],
            ['respond', 'Running', 1],
            ['prefill', 'Waiting', 0],
            ['train', 'Failed', 0],
          ],
        ],
      ],
    );
    const yaml = parse((await run('status', 'chat', '-n', namespace, '-o=yaml')).stdout) as StatusReport;
    const pods = yaml.deployments[0]?.roles.flatMap(({ revisions: each }) => each.flatMap((revision) => revision.pods)) ?? [];
    assert.deepEqual(pods.map(({ status, restarts, node }) => [status, restarts, node]).sort(), [
      ['CrashLoopBackOff', 7, 'gpu-3'],
      ['ImagePullBackOff', 0, 'gpu-3'],
      ['Running', 0, 'gpu-1'],
      ['Running', 0, 'gpu-2'],
    ]);
    assert.match((await run('status', '-A')).stdout, new RegExp(`in namespace ${namespace}`));
  });

  it('status: names those there are for one that is not there, or the kind that is meant', async () => {
    const gone = await run('status', 'chats', '-n', namespace);
    assert.equal(gone.code, 1);
    assert.match(
      gone.stderr,
      new RegExp(`there is no R2RDeployment "chats" in namespace ${namespace}; there are: chat, quiet; give another`),
    );
    assert.match((await run('events', 'math', '-n', namespace)).stderr, /there is an R2RRouter of this name: say router\/math/);
    const json = await run('status', 'router/maths', '-n', namespace, '-o', 'json');
    assert.match(json.stdout, /"code":"ROUTER_NOT_FOUND"/);
  });

  it('top: rates between two readings of routers, and the status’s numbers where none answers', async () => {
    const { code, stdout, stderr } = await run('top', '-n', namespace, '--interval', '1', '--routers');
    assert.equal(code, 0, stderr);
    const lines = stdout.trimEnd().split('\n');
    assert.match(lines[0] ?? '', /^NAME +SLM +LLM +LLM% +FALLB% +TOK\/S +CALLS\/S +ACTIVE +FROM$/);
    const [, chat = ''] = lines;
    assert.match(chat, /^chat +1\/1 +0\/1 +13\.0% +1\.0% +167 +\d+(\.\d)? +3 +live$/);
    assert.match(lines[2] ?? '', /^└─ …?\S*abcde +1\/2 +13\.0% .* 0\.881 aaaaaaaa$/);
    assert.match(lines[3] ?? '', /^quiet +- +- +20\.0% +- +5 +- +- +status, \d+[sm]$/);
    const json = await run('top', 'chat', '-n', namespace, '--interval', '1', '-o', 'json');
    const { deployments } = JSON.parse(json.stdout) as { deployments: { llmCallsPerSecond: number; routersAnswered: number }[] };
    // 100 more at each reading, a second apart and a little
    assert.ok(deployments[0] && deployments[0].llmCallsPerSecond > 1 && deployments[0].llmCallsPerSecond <= 100);
    assert.equal(deployments[0].routersAnswered, 1);
  });

  it('top --watch: again and again until it is told to stop, and then it ends well', async () => {
    const args = [
      join(import.meta.dirname, '../../../src/cli/kubectl-r2r.ts'),
      'top',
      'chat',
      '-n',
      namespace,
      '--watch',
      '--interval',
      '1',
    ];
    const child = spawn(process.execPath, args, { env: { ...process.env, KUBECONFIG: kubeconfig } });
    let output = '';
    child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
    const ended = once(child, 'close') as Promise<[number | null]>;
    await until(() => (output.match(/^chat .* live$/gm) ?? []).length >= 2, 'two readings', 60_000);
    child.kill('SIGINT');
    assert.deepEqual((await ended)[0], 0);
    assert.ok(!output.includes('\u001b'), 'no terminal, no control characters');
    // the second reading has a rate
    assert.match(output, /^chat +1\/1 +0\/1 +13\.0% +1\.0% +167 +\d/m);
  });

  it('top and status: say which right is missing, and show what there is', async () => {
    const reader = await as('reader', [{ apiGroups: ['r2r.dev', ''], resources: ['r2rdeployments', 'pods'], verbs: ['get', 'list'] }]);
    const top = await reader('top', 'chat');
    assert.equal(top.code, 0, top.stderr);
    assert.match(top.stdout, /^chat +1\/1 +0\/1 +13\.0% +- +140 +- +- +status, \d+[sm]$/m);
    const note = top.stdout.slice(top.stdout.indexOf('note:')).replaceAll('\n', ' ');
    assert.match(
      note,
      /routers of namespace \S+ cannot be asked: User "\S+" cannot get resource "pods\/proxy" .*; a role with verb get on pods\/proxy lets you/,
    );
    const narrow = await as('narrow', [{ apiGroups: ['r2r.dev'], resources: ['r2rdeployments'], verbs: ['get'] }]);
    const status = await narrow('status', 'chat');
    assert.equal(status.code, 0, status.stderr);
    assert.match(status.stdout.replaceAll('\n', ' '), /note: pods cannot be read: User "\S+" cannot list resource "pods"/);
    const nothing = await narrow('status');
    assert.equal(nothing.code, 1);
    assert.match(nothing.stderr, /cannot list resource "r2rdeployments".*; ask for a role that allows it/);
  });

  it('events: of the resource, of children and of pods, also of those that are gone; not of others', async () => {
    const event = (name: string, kind: string, regarding: string, reason: string, more: object = {}) => ({
      apiVersion: 'events.k8s.io/v1',
      kind: 'Event',
      metadata: { name, namespace },
      ...{ type: 'Normal', reason, action: 'Observe', note: `${reason} of ${regarding}`, eventTime: '2026-03-01T11:00:00.000000Z' },
      regarding: { kind, name: regarding, namespace },
      ...{ reportingController: 'test', reportingInstance: 'test-1' },
      ...more,
    });
    const gone = `chat-${revisions.old}-llm-5d4f8d9c7-gone1`;
    for (const each of [
      event('a', 'R2RDeployment', 'chat', 'RolloutStarted'),
      event('b', 'Pod', gone, 'Killing', { eventTime: '2026-03-01T11:30:00.000000Z' }),
      event('c', 'Deployment', `chat-${revisions.next}-llm`, 'ScalingReplicaSet', {
        eventTime: '2026-03-01T10:00:00.000000Z',
        series: { count: 3, lastObservedTime: '2026-03-01T11:45:00.000000Z' },
      }),
      event('d', 'R2RDeployment', 'quiet', 'Other'),
      event('e', 'Pod', 'chat-bot-7d9f-abcde', 'Other'),
      event('f', 'R2RRouter', 'chat', 'Other'),
      event('g', 'Pod', 'math-respond-22222222-0-xyz12', 'Pulled'),
    ])
      await put(server, paths.events(namespace), each);
    const { code, stdout, stderr } = await run('events', 'chat', '-n', namespace, '-o', 'json');
    assert.equal(code, 0, stderr);
    const { events } = JSON.parse(stdout) as { events: { reason: string; count: number }[] };
    assert.deepEqual(
      events.map(({ reason, count }) => [reason, count]),
      [
        ['RolloutStarted', 1],
        ['Killing', 1],
        ['ScalingReplicaSet', 3],
      ],
    );
    assert.match((await run('events', 'chat', '-n', namespace)).stdout, new RegExp(`Killing {2}Pod/${gone}\n {4}Killing of ${gone}\n`));
    assert.match(
      (await run('events', 'router/math', '-n', namespace, '-o', 'wide')).stdout,
      /Pulled +Pod\/math-respond-22222222-0-xyz12 +Pulled of/,
    );
  });

  it('events --watch: goes on as they come, and prints each once', async () => {
    const args = [
      join(import.meta.dirname, '../../../src/cli/kubectl-r2r.ts'),
      'events',
      'quiet',
      '-n',
      namespace,
      '--watch',
      '-o',
      'wide',
    ];
    const child = spawn(process.execPath, args, { env: { ...process.env, KUBECONFIG: kubeconfig } });
    let output = '';
    child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
    const ended = once(child, 'close') as Promise<[number | null]>;
    await until(() => output.includes('LAST'), 'the headings', 60_000);
    await put(server, paths.events(namespace), {
      apiVersion: 'events.k8s.io/v1',
      kind: 'Event',
      metadata: { name: 'live', namespace },
      ...{
        type: 'Warning',
        reason: 'Late',
        action: 'Observe',
        note: 'it comes late',
        eventTime: new Date().toISOString().replace('Z', '000Z'),
      },
      regarding: { kind: 'R2RDeployment', name: 'quiet', namespace },
      ...{ reportingController: 'test', reportingInstance: 'test-1' },
    });
    await until(() => output.includes('it comes late'), 'the new event', 30_000);
    child.kill('SIGINT');
    assert.equal((await ended)[0], 0);
    assert.equal(output.match(/it comes late/g)?.length, 1);
    assert.equal(output.match(/LAST/g)?.length, 1);
  });

  it('ends with 2 for a command line that cannot be followed, and lists the flags of each command', async () => {
    const wrong: readonly (readonly [readonly string[], RegExp])[] = [
      [['status', 'a', 'b'], /one resource at a time; what is "b"\?/],
      [['status', 'job/a'], /"job\/a" must be NAME, deployment\/NAME or router\/NAME/],
      [['status', 'a', '-A'], /a NAME and --all-namespaces contradict each other/],
      [['status', '-o', 'xml'], /--output must be one of json, yaml, got "xml"/],
      [['top', 'router/a'], /an R2RRouter routes nothing itself/],
      [['top', '--interval', '0'], /--interval must be 1 to 3600 seconds, got "0"/],
      [['events'], /NAME of the R2RDeployment, or router\/NAME, is missing/],
      [['support-bundle'], /NAME of the R2RDeployment, router\/NAME, or --all-namespaces is missing/],
      [['support-bundle', 'a', '--since', 'yesterday'], /--since must be a time such as 30m, 12h or 7d, got "yesterday"/],
    ];
    const ended = await Promise.all(wrong.map(([args]) => run(...args)));
    for (const [index, { code, stderr }] of ended.entries()) {
      assert.equal(code, 2, stderr);
      assert.match(stderr, wrong[index]?.[1] ?? /$^/);
    }
    for (const command of ['status', 'top', 'events', 'support-bundle']) {
      const help = await run(command, '--help');
      assert.ok(help.code === 0 && help.stdout.startsWith(`usage: kubectl r2r ${command} `), help.stdout);
    }
  });
});
