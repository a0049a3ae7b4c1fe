import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, globSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { KubeConfig } from '@kubernetes/client-node';
import { Agent, request } from 'undici';
import { parseAllDocuments } from 'yaml';
import { operatorLabels } from '../../../src/manifests/index.ts';
import { labels } from '../../../src/api/names.ts';
import { TarFile } from '../../../src/cli/support/tar.ts';
import type { ApiServer } from '../../api/api-server.ts';
import { apiServer } from '../../api/api-server.ts';
import { manifest, set } from '../../api/deployments.ts';
import { controlPlane } from '../../cluster/control-plane.ts';
import { makePair } from '../../router/certificates.ts';
import { crashingPod, readyPod, revisions, rollingStatus, routerAnswer } from './fixtures.ts';
import { at, kubectlR2R, kubelet, machineAddress, paths, podPages, put, tokenWith, type Ended, type Pages } from './world.ts';

/** One for each place where a secret may be; none may be in the archive. */
const planted: string[] = [];
function plant(place: string): string {
  const secret = `planted-${place}-${Math.random().toString(36).slice(2, 10)}`;
  planted.push(secret);
  return secret;
}

describe('kubectl r2r support-bundle', function () {
  this.timeout(240_000);
  let server: ApiServer;
  let namespace: string;
  let systemNamespace: string;
  let folder: string;
  let kubeconfig: string;
  let front: Server;
  let router: Pages;
  let operator: Pages;
  let node: Pages;
  /** Everything that is asked of the API server. */
  const asked: string[] = [];
  const nodeName = `node-${Math.random().toString(36).slice(2, 8)}`;

  before(async () => {
    server = await apiServer();
    namespace = await server.namespace('support');
    systemNamespace = await server.namespace('system');
    folder = mkdtempSync(join(tmpdir(), 'r2r-support-'));
    ({ front, kubeconfig } = await recordingFront(folder, asked));
    await plantEverything();
  });
  after(async () => {
    for (const each of [router, operator, node]) each.close();
    front.close();
    front.closeAllConnections();
    await server.close();
    rmSync(folder, { recursive: true });
  });

  async function plantEverything(): Promise<void> {
    const now = new Date();
    const address = machineAddress();
    const logs: Readonly<Record<string, string>> = {
      router: [
        `2026-03-01T12:00:00Z {"level":30,"msg":"upstream refused","headers":{"authorization":"Bearer ${plant('log-header')}"}}`,
        `2026-03-01T12:00:01Z fetching https://reader:${plant('log-url-password')}@hub.example/r.pt?token=${plant('log-url-query')}`,
        `2026-03-01T12:00:02Z {"level":20,"msg":"asked","body":{"messages":[{"role":"user","content":"${plant('log-request')}"}]}}`,
        '2026-03-01T12:00:03Z a line that helps',
      ].join('\n'),
      engine: [
        `[2026-03-01 12:00:00] Receive: obj=GenerateReqInput(rid='1', text='${plant('log-sglang-request')}', stream=True)`,
        `HF_TOKEN=${plant('log-environment')} python3 -m sglang.launch_server --api-key ${plant('log-flag')}`,
      ].join('\n'),
      'engine/previous': `Traceback: password=${plant('log-previous')}\nCUDA out of memory`,
      operator: `{"level":40,"msg":"event could not be written","token":"${plant('log-operator')}"}`,
    };
    node = await kubelet(await makePair(folder, 'kubelet'), (of) => logs[of.split('/').slice(2).join('/')]);
    router = await podPages({
      '/r2r/status': () =>
        JSON.stringify(
          routerAnswer(10, {
            bundle: { state: 'Refused', message: `https://a:${plant('status-page')}@store.example/x cannot be fetched` },
          }),
        ),
      '/metrics': () =>
        `r2r_tokens_total{source="llm"} 5\nr2r_llm_endpoint_available{endpoint="http://u:${plant('metrics-page')}@10.0.0.1"} 1\n`,
    });
    operator = await podPages({ '/metrics': () => 'leader_election_master_status{name="r2r-operator"} 1\n' });
    await put(server, paths.nodes(), {
      apiVersion: 'v1',
      kind: 'Node',
      metadata: {
        name: nodeName,
        annotations: { 'cloud.example/token': plant('node-annotation') },
        labels: { 'nvidia.com/gpu.product': 'H100' },
      },
      status: {
        addresses: [{ type: 'InternalIP', address }],
        daemonEndpoints: { kubeletEndpoint: { Port: node.port } },
        capacity: { 'nvidia.com/gpu': '8', cpu: '64', memory: '512Gi', pods: '110' },
        conditions: [{ type: 'Ready', status: 'True', reason: 'KubeletReady', message: 'kubelet is posting ready status' }],
      },
    });
    const deployment = manifest('chat', namespace);
    deployment.metadata.annotations = {
      'kubectl.kubernetes.io/last-applied-configuration': JSON.stringify({ secret: plant('last-applied') }),
      'team.example/webhook': plant('annotation'),
    };
    set(deployment, 'spec.llm.extraArgs', ['--log-level', 'debug', '--custom-api-token', plant('extra-args')]);
    set(deployment, 'spec.slm.podTemplate', {
      spec: { containers: [{ name: 'router', env: [{ name: 'COLLECTOR', value: plant('overlay-environment') }] }] },
    });
    const status = rollingStatus(now);
    const [ready] = status.conditions ?? [];
    if (ready) ready.message = `s3: AccessDenied for secretAccessKey=${plant('condition')}`;
    await put(server, paths.deployments(namespace), { ...deployment, status });

    const pod = at(readyPod(now, 'chat', revisions.old, 'slm', 'abcde', nodeName, router.port), address);
    const [container] = pod.spec.containers;
    Object.assign(container ?? {}, {
      env: [
        { name: 'SETTINGS', value: plant('pod-environment') },
        { name: 'AWS_SECRET_ACCESS_KEY', value: plant('pod-environment-key') },
        { name: 'NCCL_DEBUG', value: 'INFO' },
      ],
      args: ['router', '--api-key', plant('pod-argument'), `--hub-token=${plant('pod-argument-joined')}`],
    });
    Object.assign(pod.metadata, { annotations: { 'injector.example/password': plant('pod-annotation') } });
    await put(server, paths.pods(namespace), pod);
    const crashing = crashingPod(now, 'chat', revisions.old, 'crash', nodeName);
    const ended = crashing.status.containerStatuses[0]?.lastState.terminated;
    if (ended) ended.message = `hub answered 401 to Authorization: Bearer ${plant('termination-message')}`;
    await put(server, paths.pods(namespace), crashing);

    const mine = labels('chat', revisions.old);
    await put(server, paths.configMaps(namespace), {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: `chat-${revisions.old}-router`, labels: mine },
      data: { 'router.json': JSON.stringify({ modelName: 'chat', s3: { secretAccessKey: plant('config-map') } }) },
    });
    await put(server, `/apis/apps/v1/namespaces/${namespace}/controllerrevisions`, {
      apiVersion: 'apps/v1',
      kind: 'ControllerRevision',
      metadata: { name: 'chat-00000000-templates', labels: mine },
      revision: 1,
      data: { slm: { spec: { containers: [{ name: 'router', env: [{ name: 'X', value: plant('controller-revision') }] }] } } },
    });
    await put(server, paths.secrets(namespace), {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: `chat-${revisions.old}-keys`, labels: mine },
      stringData: { key: plant('secret') },
    });
    await put(server, paths.events(namespace), {
      apiVersion: 'events.k8s.io/v1',
      kind: 'Event',
      metadata: { name: 'pull', namespace },
      ...{ type: 'Warning', reason: 'Failed', action: 'Pull', eventTime: '2026-03-01T11:00:00.000000Z' },
      note: `pulling https://robot:${plant('event')}@registry.example/llm failed`,
      regarding: { kind: 'R2RDeployment', name: 'chat', namespace },
      ...{ reportingController: 'test', reportingInstance: 'test-1' },
    });
    const operatorPod = {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'r2r-operator-1', labels: operatorLabels },
      spec: {
        nodeName,
        containers: [
          {
            name: 'operator',
            image: 'operator:1',
            ports: [{ name: 'metrics', containerPort: operator.port }],
            env: [{ name: 'PROXY_AUTH', value: plant('operator-environment') }],
          },
        ],
      },
      status: {
        phase: 'Running',
        containerStatuses: [{ name: 'operator', ready: true, restartCount: 0, image: 'operator:1', imageID: '', state: { running: {} } }],
      },
    };
    await put(server, paths.pods(systemNamespace), at(operatorPod, address));
  }

  const run = (...args: readonly string[]): Promise<Ended> => kubectlR2R({ KUBECONFIG: kubeconfig }, 'support-bundle', ...args);
  const unpacked = (file: string): Readonly<Record<string, string>> => {
    const into = mkdtempSync(join(folder, 'unpacked-'));
    execFileSync('tar', ['-xzf', file, '-C', into]);
    const files = globSync('**/*', { cwd: join(into, 'r2r-support'), withFileTypes: true }).filter((each) => each.isFile());
    return Object.fromEntries(
      files.map((each) => {
        const path = join(each.parentPath, each.name);
        return [path.slice(join(into, 'r2r-support/').length), readFileSync(path, 'utf8')];
      }),
    );
  };

  it('has all that helps, and none of the secrets that were planted in every place', async () => {
    const file = join(folder, 'all.tar.gz');
    const { code, stdout, stderr } = await run('chat', '-n', namespace, '-o', file, '--operator-namespace', systemNamespace);
    assert.equal(code, 0, stderr);
    assert.match(stdout, /^\S+all\.tar\.gz: \d+ files, \d+\.\d KiB/);
    assert.equal(statSync(file).mode & 0o777, 0o600);
    const bytes = gunzipSync(readFileSync(file));
    assert.ok(planted.length >= 20, `${planted.length} places`);
    assert.deepEqual(
      planted.filter((secret) => bytes.includes(secret)),
      [],
    );
    assert.ok(!existsSync(`${file}.partial`));

    const files = unpacked(file);
    const here = `namespaces/${namespace}`;
    const pod = `chat-${revisions.old}-slm-5d4f8d9c7-abcde`;
    const crashed = `chat-${revisions.old}-llm-5d4f8d9c7-crash`;
    const expected: readonly (readonly [string, RegExp])[] = [
      ['versions.json', /"gitVersion": "v1\./],
      ['definitions.yaml', /storage: true/],
      ['nodes.yaml', /nvidia\.com\/gpu: "8"/],
      ['operator/pods.yaml', /name: r2r-operator-1/],
      ['operator/logs/r2r-operator-1/operator.log', /event could not be written/],
      ['operator/metrics/r2r-operator-1.txt', /^leader_election_master_status\{name="r2r-operator"\} 1$/m],
      [`${here}/r2rdeployments.yaml`, /kind: R2RDeployment/],
      [`${here}/pods.yaml`, /NCCL_DEBUG\n\s+value: INFO/],
      [`${here}/configmaps.yaml`, /modelName/],
      [`${here}/controllerrevisions.yaml`, /containers/],
      [`${here}/events.txt`, /Failed +R2RDeployment\/chat +pulling https:\/\/<redacted>@registry\.example/],
      [`${here}/events.yaml`, /reason: Failed/],
      [`${here}/logs/${pod}/router.log`, /a line that helps/],
      [`${here}/logs/${pod}/engine.log`, /python3 -m sglang\.launch_server --api-key <redacted>/],
      [`${here}/logs/${crashed}/engine.previous.log`, /CUDA out of memory/],
      [`${here}/pages/${pod}/status.json`, /"inFlight": 3/],
      [`${here}/pages/${pod}/metrics.txt`, /r2r_tokens_total\{source="llm"\} 5/],
      ['index.md', /^Nothing is missing\.$/m],
      ['index.json', /"missing": \[\]/],
    ];
    for (const [path, pattern] of expected) assert.match(files[path] ?? `${path} is missing: ${Object.keys(files).join(' ')}`, pattern);
    for (const [path, text] of Object.entries(files).filter(([name]) => name.endsWith('.yaml')))
      for (const document of parseAllDocuments(text)) assert.deepEqual(document.errors, [], path);
  });

  it('never asks for a Secret, and asks the kubelet for bounded logs', () => {
    assert.ok(asked.length > 20);
    assert.deepEqual(
      asked.filter((path) => path.includes('secrets')),
      [],
    );
    for (const path of node.asked) assert.match(path, /limitBytes=\d+.*sinceSeconds=86400.*tailLines=5000/);
  });

  it('with partial rights is partial, ends with 0, and says what is missing and why', async () => {
    const token = await tokenWith(server, namespace, 'helper', [
      { apiGroups: ['r2r.dev', 'apps', ''], resources: ['r2rdeployments', 'deployments', 'pods'], verbs: ['get', 'list'] },
    ]);
    const config = join(folder, 'helper');
    writeFileSync(config, (await controlPlane()).kubeConfig(token).exportConfig());
    const file = join(folder, 'partial.tar.gz');
    const { code, stdout, stderr } = await kubectlR2R({ KUBECONFIG: config }, 'support-bundle', 'chat', '-n', namespace, '-o', file);
    assert.equal(code, 0, stderr);
    assert.match(stdout.replaceAll('\n', ' '), /note: \d+ things could not be collected; index\.md says which, and why/);
    const files = unpacked(file);
    assert.match(files[`namespaces/${namespace}/pods.yaml`] ?? '', /kind: Pod/);
    const index = files['index.md'] ?? '';
    for (const what of [
      /^- nodes: User "\S+" cannot list resource "nodes"/m,
      /^- log of container router of pod .*cannot get resource "pods\/log"/m,
      /^- \/r2r\/status of pod .*pods\/proxy/m,
      /^- events: User/m,
    ])
      assert.match(index, what);
    const bytes = gunzipSync(readFileSync(file));
    assert.deepEqual(
      planted.filter((secret) => bytes.includes(secret)),
      [],
    );
  });

  it('takes all namespaces, and overwrites no file', async () => {
    const file = join(folder, 'everything.tar.gz');
    const { code, stderr } = await run('-A', '-o', file, '--operator-namespace', systemNamespace);
    assert.equal(code, 0, stderr);
    assert.ok(`namespaces/${namespace}/pods.yaml` in unpacked(file));
    const again = await run('chat', '-n', namespace, '-o', file);
    assert.equal(again.code, 1);
    assert.match(again.stderr, /everything\.tar\.gz is there already; name another one with --output, or remove it/);
    const nowhere = await run('chat', '-n', namespace, '-o', join(folder, 'no/such/folder.tar.gz'));
    assert.equal(nowhere.code, 1);
    assert.match(nowhere.stderr, /cannot be written: ENOENT.*; name another one with --output/);
  });
});

describe('the tar file of a support bundle', () => {
  it('is read by tar, also with names beyond 100 and 255 bytes, empty files and Unicode', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'r2r-tar-'));
    try {
      const file = join(folder, 'a.tar.gz');
      const tar = new TarFile(file, new Date('2026-03-01T12:00:00Z'));
      const part = (length: number): string => 'x'.repeat(length);
      const names = ['short', 'folder/empty', `${part(90)}/${part(90)}`, `${part(150)}/${part(150)}/${part(120)}`, 'ünïcode'];
      await Promise.all(names.map((name, index) => tar.add(name, index === 1 ? '' : `${name}\n`.repeat(1 + index * 1000))));
      await tar.close();
      execFileSync('tar', ['-xzf', file, '-C', folder]);
      for (const [index, name] of names.entries())
        assert.equal(readFileSync(join(folder, name), 'utf8'), index === 1 ? '' : `${name}\n`.repeat(1 + index * 1000), name);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('leaves nothing behind when it is abandoned', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'r2r-tar-'));
    try {
      const tar = new TarFile(join(folder, 'a.tar.gz'), new Date());
      await tar.add('a', 'b');
      await tar.abandon();
      assert.deepEqual(globSync('*', { cwd: folder }), []);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

/** Stands before the API server, and writes down what is asked. */
async function recordingFront(folder: string, asked: string[]): Promise<{ readonly front: Server; readonly kubeconfig: string }> {
  const { server, caFile, adminToken } = await controlPlane();
  const dispatcher = new Agent({ connect: { ca: readFileSync(caFile) } });
  const front = createServer((incoming, response) => {
    asked.push(incoming.url ?? '');
    const { accept = '*/*' } = incoming.headers;
    void request(server + (incoming.url ?? ''), { dispatcher, headers: { accept, authorization: `Bearer ${adminToken}` } }).then(
      ({ statusCode, headers, body }) => {
        response.writeHead(statusCode, { 'content-type': String(headers['content-type']) });
        body.pipe(response);
      },
      () => response.destroy(),
    );
  });
  front.listen(0, '127.0.0.1');
  await once(front, 'listening');
  front.once('close', () => void dispatcher.close());
  const config = new KubeConfig();
  config.loadFromClusterAndUser(
    { name: 'front', server: `http://127.0.0.1:${(front.address() as AddressInfo).port}`, skipTLSVerify: true },
    { name: 'admin' },
  );
  const kubeconfig = join(folder, 'front');
  writeFileSync(kubeconfig, config.exportConfig());
  return { front, kubeconfig };
}
