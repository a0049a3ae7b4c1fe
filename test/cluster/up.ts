/** Starts the cluster, or whatever of it is not running, and waits until it can be used. */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { Resolver } from 'node:dns/promises';
import { join } from 'node:path';
import { certificateFile, createCertificates, keyFile, type CertificateName } from './certificates.ts';
import { createCgroup } from './cgroups.ts';
import { run, tryRun, type RunOptions } from './commands.ts';
import * as configuration from './configuration.ts';
import { remove } from './down.ts';
import { openFirewall } from './firewall.ts';
import { hasImage, importImage } from './image-store.ts';
import { pauseArchive } from './images.ts';
import { locked } from './lock.ts';
import { isFromEarlierBoot, readBefore, writeBefore } from './machine.ts';
import { createNodeInterface } from './network.ts';
import { ensureRunning, lastWords } from './processes.ts';
import { clients, controlPlane, type Program } from './programs.ts';
import { until, type Progress } from './progress.ts';
import { paths, pauseImage, settings, stateFolder } from './settings.ts';
import { tools as findTools, type Tools } from './tools.ts';
import { renewVolumes } from './volumes.ts';

const { nodeName, nodeAddress, clusterDomain, gpus } = settings;

async function writeConfiguration(tools: Tools): Promise<void> {
  const folders = [
    paths.configuration,
    paths.logs,
    paths.kubelet,
    paths.podLogs,
    paths.containerd,
    paths.containerdRun,
    join(paths.cni, 'net.d'),
  ];
  for (const folder of folders) await mkdir(folder, { recursive: true });
  await createCertificates(tools.openssl);
  const files = {
    [join(paths.configuration, 'containerd.toml')]: configuration.containerdConfiguration(tools.cniFolder),
    [join(paths.cni, 'net.d', '10-r2r.conflist')]: configuration.cniConfiguration(),
    [join(paths.configuration, 'kubelet.yaml')]: configuration.kubeletConfiguration(),
    [join(paths.configuration, 'Corefile')]: configuration.corednsConfiguration(),
    [join(paths.configuration, 'resolv.conf')]: '',
  };
  for (const [file, text] of Object.entries(files)) await writeFile(file, text);
  const authority = await readFile(certificateFile('ca'), 'utf8');
  const users: CertificateName[] = ['admin', 'kubelet', 'kube-controller-manager', 'kube-scheduler', 'kube-proxy', 'coredns'];
  for (const user of users) {
    const [certificate, key] = await Promise.all([readFile(certificateFile(user), 'utf8'), readFile(keyFile(user), 'utf8')]);
    const text = configuration.kubeconfig(user, { authority, certificate, key });
    await writeFile(configuration.kubeconfigFile(user), text, { mode: 0o600 });
  }
}

async function start(programs: readonly Program[], progress: Progress): Promise<void> {
  const started: string[] = [];
  for (const program of programs) if (await ensureRunning(program)) started.push(program.name);
  if (started.length > 0) progress(`started ${started.join(', ')}`);
}

interface Node {
  readonly status: {
    readonly capacity?: Readonly<Record<string, string>>;
    readonly allocatable?: Readonly<Record<string, string>>;
    readonly conditions?: readonly { readonly type: string; readonly status: string; readonly message?: string }[];
  };
}

class Starting {
  readonly #tools: Tools;
  readonly #progress: Progress;

  constructor(tools: Tools, progress: Progress) {
    this.#tools = tools;
    this.#progress = progress;
  }

  async #kubectl(args: readonly string[], options?: RunOptions): Promise<string> {
    return run(this.#tools.kubectl, ['--kubeconfig', paths.kubeconfig, '--request-timeout=10s', ...args], options);
  }

  async #node(): Promise<Node> {
    return JSON.parse(await this.#kubectl(['get', 'node', nodeName, '--output=json'])) as Node;
  }

  async controlPlane(): Promise<void> {
    await start(controlPlane(this.#tools), this.#progress);
    const { ctr } = this.#tools;
    await until(
      'containerd answers',
      60_000,
      async () => (await tryRun(ctr, ['--address', paths.containerdSocket, 'version'])) !== undefined,
    );
    if (!(await hasImage(ctr, pauseImage))) await importImage(ctr, await pauseArchive(this.#progress));
    await until('the API server is ready', 120_000, async () => (await this.#kubectl(['get', '--raw=/readyz'])) === 'ok');
    const access = JSON.stringify({ apiVersion: 'v1', kind: 'List', items: configuration.corednsAccess });
    await this.#kubectl(['apply', '--filename=-'], { input: access });
    this.#progress('API server ready');
  }

  async node(): Promise<void> {
    await start(clients(this.#tools), this.#progress);
    await until('the node is Ready', 180_000, async () => {
      const ready = (await this.#node()).status.conditions?.find(({ type }) => type === 'Ready');
      if (ready?.status !== 'True') throw new Error(ready?.message ?? 'it has not registered');
      return true;
    });
    this.#progress('node Ready');
  }

  /** Nobody's driver is asked: the scheduler and kubelet count any extended resource that the node's status has. */
  async gpus(): Promise<void> {
    const patch = JSON.stringify([{ op: 'add', path: '/status/capacity/nvidia.com~1gpu', value: String(gpus) }]);
    // A kubelet that registers anew sets it to 0, and it copies capacity to allocatable only with its next report.
    await until(`the node has ${gpus} GPUs`, 120_000, async () => {
      const { capacity, allocatable } = (await this.#node()).status;
      if (capacity?.['nvidia.com/gpu'] !== String(gpus)) {
        await this.#kubectl(['patch', 'node', nodeName, '--subresource=status', '--type=json', `--patch=${patch}`]);
      }
      return allocatable?.['nvidia.com/gpu'] === String(gpus);
    });
    this.#progress(`node advertises nvidia.com/gpu: ${gpus}`);
  }

  async volumes(): Promise<void> {
    const count = await renewVolumes((args, options) => this.#kubectl(args, options));
    this.#progress(`${count} volumes for claims without a class`);
  }

  async services(): Promise<void> {
    const resolver = new Resolver({ timeout: 1000, tries: 1 });
    resolver.setServers([nodeAddress]);
    await until('DNS answers', 60_000, async () => (await resolver.resolve4(`kubernetes.default.svc.${clusterDomain}`)).length > 0);
    await until('the default service account exists', 60_000, async () => {
      return (await this.#kubectl(['get', 'serviceaccount', 'default', '--output=name'])) !== '';
    });
    this.#progress('DNS and service accounts ready');
  }
}

/** Brings the cluster up; what runs already is left alone. Needs root. Throws with the programs' last words when it does not come up. */
export async function up(progress: Progress): Promise<Tools> {
  return locked(paths.lock, progress, async () => {
    const tools = await findTools(progress);
    const before = await readBefore();
    if (before && isFromEarlierBoot(before)) await remove(progress);
    await writeBefore(tools);
    try {
      await createNodeInterface(tools);
      await openFirewall(tools.iptables);
      await createCgroup();
      await writeConfiguration(tools);
      const starting = new Starting(tools, progress);
      await starting.controlPlane();
      await starting.node();
      await Promise.all([starting.gpus(), starting.volumes(), starting.services()]);
      return tools;
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      const logs = lastWords([...controlPlane(tools), ...clients(tools)].map(({ name }) => name));
      throw new Error(
        `The local cluster did not come up: ${reason}\n${logs}\nAll of it is in ${stateFolder}; \`npm run cluster -- down\` removes it.`,
        {
          cause,
        },
      );
    }
  });
}
