/**
 * What a real API server lacks: pods that come and go with their Deployments, as kubelet and Deployment controller would have it, and routers
 * beside them that read their ConfigMap and answer. No process runs in these pods.
 */
import { createHash, randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { labelKeys } from '../../../src/api/names.ts';
import { latencyBoundsMs } from '../../../src/api/router-work.ts';
import type { RouterStatus } from '../../../src/api/router-status.ts';
import type { RouterClient } from '../../../src/controllers/router-client.ts';
import { configMaps, deployments, pods } from '../../../src/kube/index.ts';
import type { KubeClient, Live } from '../../../src/kube/index.ts';
import type { Deployment, Pod } from '../../../src/kube/resources.ts';

const deletionCost = 'controller.kubernetes.io/pod-deletion-cost';
const isAlive = ({ metadata }: Live<Pod>): boolean => metadata.deletionTimestamp === undefined;
const isReady = ({ status }: Live<Pod>): boolean =>
  status?.conditions?.some(({ type, status: is }) => type === 'Ready' && is === 'True') ?? false;
const component = ({ metadata }: Live): string => metadata.labels?.[labelKeys.component] ?? '';

export class PlayedCluster implements RouterClient {
  /** Calls to the LLM that clients cause a second, over all routers. */
  callsPerSecond = 0;
  draftedPerSecond = 0;
  /** Requests that wait at each router while no LLM pod is ready. */
  held = 0;
  latencyMs = 10;
  threshold = 0.4;
  /** LLM pods that do not become ready: there is no room. */
  full = false;
  /** Pods that are not ready yet never become so. */
  stuck = false;
  /** Routers do not answer. */
  silent = false;
  /** Routers do not take a new configuration over. */
  deaf = false;
  /** Calls that each router has under way, by LLM pod. */
  readonly inFlight = new Map<string, number>();
  /** What the benchmark finds. */
  benchmarked: number | undefined;
  /** What happened to LLM pods and their Deployment, in order. */
  readonly events: string[] = [];
  benchmarks = 0;
  readonly #admin: KubeClient;
  readonly #namespace: string;
  readonly #startedMs = Date.now();
  readonly #heard = new Map<string, string>();
  #calls = 0;
  #drafted = 0;
  #countedMs = Date.now();
  #addresses = 0;
  #replicas: number | undefined;
  #stop = new AbortController();
  #playing: Promise<void> | undefined;

  constructor(admin: KubeClient, namespace: string) {
    this.#admin = admin;
    this.#namespace = namespace;
  }

  start(): void {
    this.#playing = this.#play();
  }

  async close(): Promise<void> {
    this.#stop.abort();
    await this.#playing;
  }

  async status(address: string): Promise<RouterStatus | undefined> {
    if (this.silent) return undefined;
    const all = (await this.#admin.list(pods, { namespace: this.#namespace })).items;
    const own = all.find(({ status }) => status?.podIP === address);
    if (!own) return undefined;
    const { instance, revision } = {
      instance: own.metadata.labels?.[labelKeys.instance],
      revision: own.metadata.labels?.[labelKeys.revision],
    };
    const map = await this.#admin.find(configMaps, { namespace: this.#namespace, name: `${instance}-${revision}-router` });
    const text = this.deaf ? (this.#heard.get(own.metadata.uid) ?? '{}') : (map?.data?.['router.json'] ?? '{}');
    this.#heard.set(own.metadata.uid, text);
    const { drainingPodUIDs = [] } = JSON.parse(text) as { drainingPodUIDs?: string[] };
    const routers = all.filter((pod) => component(pod) === 'slm' && isAlive(pod)).length;
    this.#count();
    const calls = this.#calls / routers;
    const drafted = this.#drafted / routers;
    const none = { slm: 0, llm: 0, fallback: 0 };
    const held = all.some((pod) => component(pod) === 'llm' && isReady(pod)) ? 0 : this.held;
    const latencies = latencyBoundsMs.map((bound, index) =>
      this.latencyMs <= bound && this.latencyMs > (latencyBoundsMs[index - 1] ?? 0) ? calls : 0,
    );
    return {
      instance: `${own.metadata.uid}-${this.#startedMs}`,
      configDigest: createHash('sha256').update(text).digest('hex'),
      strategy: 'neural',
      threshold: this.threshold,
      alarms: [],
      waitingFor: [],
      inFlight: this.callsPerSecond > 0 || this.held > 0 ? 1 : 0,
      tokensTotal: none,
      window: { seconds: 60, tokens: none, tokensPerSecond: 0 },
      work: {
        llm: { calls, primedTokens: 0, latencies: [...latencies, 0], waitingRequests: held },
        slm: { draftedTokens: drafted, latencies: [], queuedRequests: 0 },
      },
      parameters: {},
      llmEndpoints: all
        .filter((pod) => component(pod) === 'llm' && isReady(pod) && isAlive(pod))
        .map(({ metadata, status }) => ({
          podUID: metadata.uid,
          address: `http://${status?.podIP}:30000`,
          ready: !drainingPodUIDs.includes(metadata.uid),
          draining: drainingPodUIDs.includes(metadata.uid),
          inFlight: this.inFlight.get(metadata.name) ?? 0,
        })),
    };
  }

  probe(): Promise<string | undefined> {
    return Promise.resolve(undefined);
  }

  benchmark(): Promise<number | undefined> {
    this.benchmarks++;
    return Promise.resolve(this.benchmarked);
  }

  #count(): void {
    const now = Date.now();
    this.#calls += (this.callsPerSecond * (now - this.#countedMs)) / 1000;
    this.#drafted += (this.draftedPerSecond * (now - this.#countedMs)) / 1000;
    this.#countedMs = now;
  }

  async #play(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      const all = (await this.#admin.list(deployments, { namespace: this.#namespace })).items;
      await this.#collect(all);
      for (const deployment of all) {
        await this.#follow(deployment).catch((error: unknown) => {
          if (!this.#stop.signal.aborted) this.events.push(`the test failed: ${String(error)}`);
        });
      }
      await sleep(100);
    }
  }

  /** Pods whose Deployment is gone, as the garbage collector would have it. */
  async #collect(all: readonly Live<Deployment>[]): Promise<void> {
    const names = new Set(all.map(({ metadata }) => metadata.name));
    for (const { metadata } of (await this.#admin.list(pods, { namespace: this.#namespace })).items) {
      if (names.has(metadata.name.replace(/-[0-9a-f]+$/, ''))) continue;
      await this.#admin.delete(pods, metadata, { gracePeriodSeconds: 0 });
    }
  }

  /** One step of the Deployment's and its ReplicaSet's controllers, in the order in which these delete. */
  async #follow(deployment: Live<Deployment>): Promise<void> {
    const { namespace } = deployment.metadata;
    const { replicas = 1, selector, template } = deployment.spec ?? {};
    if (component(deployment) === 'llm' && replicas !== this.#replicas) {
      if (this.#replicas !== undefined) this.events.push(`replicas ${this.#replicas} to ${replicas}`);
      this.#replicas = replicas;
    }
    const own = (await this.#admin.list(pods, { namespace: this.#namespace })).items.filter((pod) =>
      Object.entries(selector?.matchLabels ?? {}).every(([key, value]) => pod.metadata.labels?.[key] === value),
    );
    const alive = own.filter(isAlive);
    for (let missing = replicas - alive.length; missing > 0; missing--) await this.#create(deployment, template?.spec);
    const rank = (pod: Live<Pod>): readonly [number, number] => [
      Number(isReady(pod)),
      Number(pod.metadata.annotations?.[deletionCost] ?? 0),
    ];
    const doomed = [...alive]
      .sort((a, b) => rank(a)[0] - rank(b)[0] || rank(a)[1] - rank(b)[1])
      .slice(0, Math.max(0, alive.length - replicas));
    for (const pod of doomed) {
      if (component(pod) === 'llm') this.events.push(`deleted ${pod.metadata.name}`);
      await this.#admin.delete(pods, { namespace, name: pod.metadata.name }, { gracePeriodSeconds: 0 });
    }
    for (const pod of alive) {
      if (!doomed.includes(pod) && !isReady(pod) && !this.stuck && !(this.full && component(pod) === 'llm')) await this.#makeReady(pod);
    }
    const left = alive.filter((pod) => !doomed.includes(pod));
    const status = {
      observedGeneration: deployment.metadata.generation,
      replicas: left.length,
      updatedReplicas: left.length,
      readyReplicas: left.filter(isReady).length,
    };
    const { observedGeneration, replicas: were = 0, readyReplicas = 0 } = deployment.status ?? {};
    if (observedGeneration === status.observedGeneration && were === status.replicas && readyReplicas === status.readyReplicas) return;
    await this.#admin.patch(deployments, { namespace, name: deployment.metadata.name }, { status }, { subresource: 'status' });
  }

  async #create(deployment: Live<Deployment>, spec: object | undefined): Promise<void> {
    const { namespace, name } = deployment.metadata;
    await this.#admin.create(pods, {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { namespace, name: `${name}-${randomBytes(3).toString('hex')}`, labels: deployment.spec?.template.metadata?.labels },
      // no node takes it
      spec: { ...spec, serviceAccountName: 'default', nodeSelector: { 'r2r.dev/none': 'here' } },
    });
  }

  async #makeReady(pod: Live<Pod>): Promise<void> {
    const running = { ready: true, restartCount: 0, image: 'i', imageID: 'i', state: { running: {} } };
    const isSlm = component(pod) === 'slm';
    const status = {
      podIP: pod.status?.podIP ?? `192.0.2.${++this.#addresses}`,
      conditions: [{ type: 'Ready', status: 'True' }],
      ...(isSlm && { initContainerStatuses: [{ name: 'engine', ...running }] }),
      containerStatuses: [{ name: isSlm ? 'router' : 'engine', ...running }],
    };
    await this.#admin.patch(pods, pod.metadata, { status }, { subresource: 'status' });
  }
}
