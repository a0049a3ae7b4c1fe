import type { PodTemplateOverlay } from '../api/model-server.ts';
import type { JobName } from '../api/r2rrouter-jobs.ts';
import type { RouterModel } from '../api/r2rrouter-models.ts';
import { jobContainers, jobFolders, jobName, jobPorts, stepLabels, terminationLog } from '../api/r2rrouter-names.ts';
import { presetSettings } from '../api/r2rrouter-presets.ts';
import type { ModelRole } from '../api/r2rrouter-presets.ts';
import type { R2RRouter } from '../api/r2rrouter.ts';
import { stepFolderName, stepHash } from '../api/step-identity.ts';
import type { StepSpec } from '../api/step-identity.ts';
import { containerDefaults, env, fieldEnv, gpuResource, gpuTolerations, podSecurityContext, quantities } from './container.ts';
import { engineContainer, engineVolumes, gpuCount } from './engine-container.ts';
import { isObject } from './json.ts';
import type { JsonObject } from './json.ts';
import { modelMounts, modelSource, modelVolumes } from './model-source.ts';
import type { RenderOptions } from './options.ts';
import { OverlayError, mergePodSpec } from './overlay.ts';
import { bundleStore, currentSources, dataSources, hubToken, joined, pathOf, workspaceClaim } from './router-job-volumes.ts';
import { modelOf } from './router-steps.ts';
import { nodeLabels, togetherOn } from './shared-node.ts';
import type { TrainerSettings } from './router-trainer-settings.ts';

export interface RouterJobOptions extends RenderOptions {
  /** Image of the training Job: PyTorch and trainer/. */
  readonly trainerImage: string;
}

/** Files of a Job's ConfigMap. */
export const jobFiles = { spec: 'spec.json', training: 'training.json' } as const;

/** The model whose server a step asks, and the name it has there. */
function engineOf(
  step: JobName,
  spec: R2RRouter['spec'],
): { readonly model: ModelRole; readonly role: 'slm' | 'llm' | 'verifier' } | undefined {
  const writer = spec.source.pipeline?.respond.writer ?? 'llm';
  const engines: Readonly<Partial<Record<JobName, NonNullable<ReturnType<typeof engineOf>>>>> = {
    respond: { model: writer, role: writer },
    prefill: { model: 'slm', role: 'slm' },
    continue: { model: 'continuation', role: 'llm' },
    verify: { model: 'verifier', role: 'verifier' },
  };
  return engines[step];
}

/** Models whose folders a step reads (tokenizer, template, embedding), by the name they have there. */
const foldersOf: Readonly<Record<JobName, Readonly<Partial<Record<'slm' | 'llm' | 'verifier', ModelRole>>>>> = {
  convert: {},
  respond: { slm: 'slm', llm: 'llm' },
  prefill: { slm: 'slm' },
  continue: { llm: 'continuation' },
  verify: { verifier: 'verifier' },
  construct: {},
  train: { slm: 'slm' },
  bundle: { slm: 'slm' },
};

/** Requests of a step's own container where the spec has none. */
const defaultRequests: Readonly<Partial<Record<JobName, JsonObject>>> = {
  train: { cpu: '1', memory: '2Gi' },
  bundle: { cpu: '1', memory: '2Gi' },
};

export interface JobPodInput {
  readonly router: R2RRouter;
  readonly identity: StepSpec<JobName>;
  /** Address of the bundle in use, which the new one is compared with. Only for the bundling step. */
  readonly current?: string;
  /** Digests of bundles to keep: the others of this router that nobody uses are deleted. Left out: none is. Only for the bundling step. */
  readonly retain?: readonly string[];
  /** Hashes of the steps that the router is made of, whose results stay in the workspace. Only for the bundling step. */
  readonly currentSteps?: readonly string[];
}

/** The pod of a step, overlay merged. Throws `OverlayError` when that cannot be merged or removes what the step needs. */
export function jobPod(input: JobPodInput, options: RouterJobOptions): JsonObject {
  const { router, identity } = input;
  const { step } = identity;
  const { metadata, spec } = router;
  const asked = engineOf(step, spec);
  const server = asked && serverOf(modelOf(spec, asked.model));
  const component = asked?.role === 'slm' ? 'slm' : 'llm';
  const gpus = step === 'train' ? trainingGpus(router) : 0;
  const folders = Object.values(foldersOf[step]).map((role) => modelSource(modelOf(spec, role).server.model));
  const compared = input.current === undefined ? [] : currentSources(router, input.current);
  const sources = [...folders, ...dataSources(spec, step), ...compared, ...(server ? [modelSource(server.model)] : [])];
  const addition = joined([...hubToken(spec, step), ...(step === 'bundle' ? [bundleStore(router)] : [])]);
  const claim = workspaceClaim(router);
  const tmp = (server ? engineVolumes(server) : [{ name: 'tmp', emptyDir: {} }]) as readonly JsonObject[];
  const rendered: JsonObject = {
    restartPolicy: 'Never',
    automountServiceAccountToken: false,
    enableServiceLinks: false,
    // Files of the workspace belong to the group of every pod that uses it.
    securityContext: { ...podSecurityContext, fsGroup: 10_001, fsGroupChangePolicy: 'OnRootMismatch' },
    terminationGracePeriodSeconds: 60,
    ...(server && {
      initContainers: [{ ...engineContainer(server, component, options), restartPolicy: 'Always' }],
    }),
    containers: [
      {
        name: jobContainers.step,
        ...(step === 'train' ? trainerProgram(input, gpus, options) : stepProgram(input, addition.args, options)),
        env: [
          ...(server ? [fieldEnv('POD_IP', 'status.podIP')] : []),
          ...env({ HOME: '/tmp', ...(step === 'train' ? trainerEnv : stepEnv) }),
        ],
        ports: [{ name: 'status', containerPort: jobPorts.status }],
        resources: stepResources(router, step, gpus),
        volumeMounts: [
          { name: 'workspace', mountPath: jobFolders.workspace },
          { name: 'job', mountPath: jobFolders.files, readOnly: true },
          ...modelMounts(sources),
          ...addition.mounts,
          { name: 'step-tmp', mountPath: '/tmp' },
          ...(gpus > 1 ? [{ name: 'shm', mountPath: '/dev/shm' }] : []),
        ],
        ...containerDefaults,
      },
    ],
    volumes: [
      { name: 'workspace', persistentVolumeClaim: { claimName: claim } },
      { name: 'job', configMap: { name: jobName(metadata.name, step, stepHash(identity)) } },
      ...modelVolumes(sources),
      ...addition.volumes,
      ...(server ? tmp : []),
      { name: 'step-tmp', emptyDir: {} },
      // NCCL exchanges gradients between the GPUs of a pod through shared memory.
      ...(gpus > 1 ? [{ name: 'shm', emptyDir: { medium: 'Memory', sizeLimit: '16Gi' } }] : []),
    ],
    ...(spec.storage.workspace.accessMode === 'ReadWriteOnce' && { affinity: togetherOn(claim) }),
    ...gpuTolerations(gpus + (server ? gpuCount(server, component) : 0)),
  };
  return template(router, identity, rendered, spec.jobs.steps[step].podTemplate);
}

/** The server that a pod starts for itself; undefined where one is borrowed. */
function serverOf({ server, url }: RouterModel): RouterModel['server'] | undefined {
  return url === undefined ? server : undefined;
}

function stepProgram(
  { router, identity, current, retain, currentSteps = [] }: JobPodInput,
  further: readonly string[],
  options: RouterJobOptions,
): JsonObject {
  const { step } = identity;
  const { spec } = router;
  const asked = engineOf(step, spec);
  const model = asked && modelOf(spec, asked.model);
  const labels = step === 'bundle' ? labelFolder(router, identity) : undefined;
  const settings: { readonly shards?: number; readonly concurrency?: number; readonly deadlineSeconds?: number | undefined } =
    spec.jobs.steps[step];
  return {
    image: spec.jobs.image ?? options.routerImage,
    args: [
      'pipeline',
      step === 'bundle' ? 'bundle' : 'run',
      ...['--workspace', jobFolders.workspace, '--spec', `${jobFolders.files}/${jobFiles.spec}`],
      ...ownerFlag(router),
      ...(asked && model ? ['--engine', `${asked.role}=${model.url ?? `http://$(POD_IP):${jobPorts.engine}`}`] : []),
      ...Object.entries(foldersOf[step]).flatMap(([name, role]) => [
        '--model',
        `${name}=${modelSource(modelOf(spec, role).server.model).path}`,
      ]),
      ...(settings.shards !== undefined && settings.shards > 1 ? ['--shards', String(settings.shards)] : []),
      ...(settings.concurrency === undefined ? [] : ['--concurrency', String(settings.concurrency)]),
      ...(labels === undefined ? [] : ['--data', labels]),
      ...(current === undefined ? [] : ['--compare', current, '--min-recall', String(spec.gate.minRecall)]),
      ...(current !== undefined && spec.gate.betterThanCurrent ? ['--must-compare'] : []),
      ...(retain === undefined ? [] : ['--prune', ...retain.flatMap((digest) => ['--retain', digest])]),
      ...(step === 'bundle' ? ['--keep', String(spec.storage.workspace.keep), ...currentSteps.flatMap((hash) => ['--current', hash])] : []),
      ...further,
      ...['--status-port', String(jobPorts.status), '--termination-log', terminationLog],
    ],
  };
}

/**
 * Instead of the image's, which are a router's. Left alone, malloc takes ever larger blocks from its heap once it has freed some, and that is soon
 * full of holes: as much again as a step has in use.
 */
export const stepEnv = { GLIBC_TUNABLES: 'glibc.malloc.arena_max=2:glibc.malloc.mmap_threshold=262144' } as const;

/** PyTorch and its compilers write caches in many places; the root file system is read-only. */
const trainerEnv = {
  USER: 'r2r',
  TORCHINDUCTOR_CACHE_DIR: '/tmp/inductor',
  TRITON_CACHE_DIR: '/tmp/triton',
  MPLCONFIGDIR: '/tmp/matplotlib',
} as const;

function trainerProgram({ router, identity }: JobPodInput, gpus: number, options: RouterJobOptions): JsonObject {
  const { spec } = router;
  const { config, settings } = identity.params as TrainerSettings;
  return {
    image: spec.training.image ?? options.trainerImage,
    // Not torchrun, which ends with 1 whatever the trainer ended with: the Job could not tell what a person must mend.
    command: ['python3', '-m', 'r2r_trainer', ...(gpus > 1 ? ['--processes', String(gpus)] : [])],
    args: [
      ...(Object.keys(config).length > 0 ? ['--config', `${jobFolders.files}/${jobFiles.training}`] : []),
      ...['--data', labelFolder(router, identity) ?? '', '--out', `${jobFolders.workspace}/${stepFolderName('train', stepHash(identity))}`],
      ...['--slm', modelSource(modelOf(spec, 'slm').server.model).path, '--device', gpus > 0 ? 'cuda' : 'cpu'],
      ...Object.entries(settings).flatMap(([key, value]) => [
        '--set',
        `${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`,
      ]),
      ...ownerFlag(router),
      ...['--hash', stepHash(identity), '--progress-port', String(jobPorts.status), '--termination-log', terminationLog],
    ],
  };
}

/** Whose folders they are in the workspace: what has no mark is never cleaned up. */
function ownerFlag({ metadata }: R2RRouter): readonly string[] {
  return ['--owner', `${metadata.namespace ?? 'default'}/${metadata.name}`];
}

/** Where the label set is, for the steps that read it. */
function labelFolder({ spec }: R2RRouter, { inputs }: StepSpec<JobName>): string | undefined {
  if (spec.source.labels) return pathOf(spec.source.labels.path);
  return inputs.construct && `${jobFolders.workspace}/${stepFolderName('construct', inputs.construct.hash)}/data`;
}

function trainingGpus({ spec }: R2RRouter): number {
  return spec.training.gpus ?? (spec.preset ? presetSettings[spec.preset].trainingGpus : 1);
}

function stepResources({ spec }: R2RRouter, step: JobName, gpus: number): JsonObject {
  const { resources } = spec.jobs.steps[step];
  const { requests, limits } = resources ? quantities(resources) : { requests: defaultRequests[step] ?? { cpu: '500m', memory: '512Mi' } };
  return {
    ...(requests && { requests }),
    ...((limits ?? gpus > 0) && { limits: { ...limits, ...(gpus > 0 && { [gpuResource]: String(gpus) }) } }),
  };
}

function template(router: R2RRouter, identity: StepSpec<JobName>, rendered: JsonObject, overlay: PodTemplateOverlay = {}): JsonObject {
  const { step } = identity;
  const path = `spec.jobs.steps.${step}.podTemplate`;
  const patch: unknown = overlay.spec ?? {};
  if (!isObject(patch)) throw new OverlayError(`${path}.spec`, 'must be a partial PodSpec');
  const spec = mergePodSpec(rendered, patch, `${path}.spec`);
  assertComplete(spec, rendered, `${path}.spec`);
  const { labels: userLabels, annotations: userAnnotations } = overlay.metadata ?? {};
  return {
    metadata: {
      labels: {
        ...userLabels,
        ...stepLabels(router.metadata.name, step, stepHash(identity)),
        ...nodeLabels(workspaceClaim(router)),
      },
      annotations: { 'kubectl.kubernetes.io/default-container': jobContainers.step, ...userAnnotations },
    },
    spec,
  };
}

/** An overlay may change much, but without these the Job can never end, or its failures could not be told apart. */
function assertComplete(spec: JsonObject, rendered: JsonObject, path: string): void {
  const named = (list: string, name: string) => {
    const elements: unknown = spec[list];
    return Array.isArray(elements) ? elements.filter(isObject).find((each) => each.name === name) : undefined;
  };
  if (!named('containers', jobContainers.step))
    throw new OverlayError(`${path}.containers`, `must not remove the container "${jobContainers.step}"`);
  if (spec.restartPolicy !== 'Never') throw new OverlayError(`${path}.restartPolicy`, 'must be Never: the Job decides what is tried again');
  if (rendered.initContainers !== undefined && named('initContainers', jobContainers.engine)?.restartPolicy !== 'Always') {
    throw new OverlayError(
      `${path}.initContainers`,
      `must leave the container "${jobContainers.engine}" and its restartPolicy: Always, which makes it a sidecar`,
    );
  }
}
