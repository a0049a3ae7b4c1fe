import { containers, ports } from '../api/names.ts';
import type { Component } from '../api/names.ts';
import type { ModelServer } from '../api/model-server.ts';
import { containerDefaults, env, fieldEnv, gpuResource, httpProbe, quantities } from './container.ts';
import type { JsonObject } from './json.ts';
import { modelMounts, modelSource } from './model-source.ts';
import type { ModelSource } from './model-source.ts';
import { defaultSglangImage } from './options.ts';
import type { RenderOptions } from './options.ts';

const home = '/home/r2r';

/** Where an engine listens, and whether it is one of several nodes that serve a model together. */
export interface EnginePlace {
  readonly port: number;
  readonly spansNodes: boolean;
}

/** SGLang writes caches in many places; the root file system is read-only, so each is sent to the emptyDir at HOME. */
const sglangEnv: Readonly<Record<string, string>> = {
  HOME: home,
  // The image has no entry for our user in /etc/passwd, and PyTorch asks for a name.
  USER: 'r2r',
  XDG_CACHE_HOME: `${home}/.cache`,
  HF_HOME: `${home}/.cache/huggingface`,
  TRITON_CACHE_DIR: `${home}/.cache/triton`,
  TORCHINDUCTOR_CACHE_DIR: `${home}/.cache/inductor`,
  TORCH_EXTENSIONS_DIR: `${home}/.cache/torch-extensions`,
  FLASHINFER_WORKSPACE_BASE: home,
  CUDA_CACHE_PATH: `${home}/.cache/cuda`,
  NUMBA_CACHE_DIR: `${home}/.cache/numba`,
  SGLANG_CACHE_DIR: `${home}/.cache/sglang`,
  SGLANG_DG_CACHE_DIR: `${home}/.cache/deep-gemm`,
  OUTLINES_CACHE_DIR: `${home}/.cache/outlines`,
  // Models come from a claim, which they may have been downloaded to, or the image: nothing is ever fetched, and a missing file is an error at once.
  HF_HUB_OFFLINE: '1',
};

/** Else /health, of either engine, generates a token, takes a second and fails under load. */
const healthEnv: Readonly<Record<string, string>> = { SGLANG_ENABLE_HEALTH_ENDPOINT_GENERATION: 'false' };

/** GPUs of one replica: 0 on CPU. Left out in the spec: 1 for the SLM, 2 for the LLM. */
export function gpuCount(server: ModelServer, role: Component): number {
  return server.engine === 'CPU' ? 0 : (server.tensorParallelSize ?? (role === 'slm' ? 1 : 2));
}

/** How an SGLang server is started; its arguments follow. */
export const sglangCommand = ['python3', '-m', 'sglang.launch_server'] as const;

/** The container `engine`; in the SLM pod it becomes a native sidecar. */
export function engineContainer(server: ModelServer, role: Component, options: RenderOptions, spansNodes = false): JsonObject {
  const sglang = server.engine === 'SGLang';
  const source = modelSource(server.model);
  return {
    name: containers.engine,
    image: engineImage(server, options),
    ...(sglang && { command: sglangCommand }),
    args: engineArgs(server, role, { port: ports.engine, spansNodes }),
    env: engineEnv(server),
    ports: [{ name: 'engine', containerPort: ports.engine }],
    // A 32B model is read from a cold volume and its CUDA graphs are captured: 20 minutes before giving up.
    startupProbe: httpProbe('/ready', 'engine', { periodSeconds: 2, failureThreshold: 600, timeoutSeconds: 5 }),
    readinessProbe: httpProbe('/ready', 'engine', { periodSeconds: 5, failureThreshold: 3, timeoutSeconds: 5 }),
    livenessProbe: httpProbe('/health', 'engine', { periodSeconds: 10, failureThreshold: 6, timeoutSeconds: 5 }),
    resources: engineResources(server, gpuCount(server, role)),
    volumeMounts: engineMounts(server, [source]),
    ...containerDefaults,
  };
}

export function engineImage(server: ModelServer, options: RenderOptions): string {
  return server.image ?? (server.engine === 'SGLang' ? (options.sglangImage ?? defaultSglangImage) : options.routerImage);
}

export function engineEnv({ engine }: ModelServer): readonly JsonObject[] {
  return [fieldEnv('POD_IP', 'status.podIP'), ...env({ ...(engine === 'SGLang' && sglangEnv), ...healthEnv })];
}

export function engineMounts({ engine }: ModelServer, sources: readonly ModelSource[]): readonly JsonObject[] {
  const mounts = [...modelMounts(sources), { name: 'tmp', mountPath: '/tmp' }];
  if (engine === 'CPU') return mounts;
  return [...mounts, { name: 'home', mountPath: home }, { name: 'shm', mountPath: '/dev/shm' }];
}

/** The engine's volumes besides model claims. */
export function engineVolumes(server: ModelServer): readonly JsonObject[] {
  const tmp = { name: 'tmp', emptyDir: {} };
  if (server.engine === 'CPU') return [tmp];
  // NCCL exchanges tensors between the GPUs of a replica through shared memory.
  return [tmp, { name: 'home', emptyDir: {} }, { name: 'shm', emptyDir: { medium: 'Memory', sizeLimit: '16Gi' } }];
}

/** Arguments of an engine; for CPU those of `r2r`. */
export function engineArgs(server: ModelServer, role: Component, place: EnginePlace): readonly string[] {
  const { path } = modelSource(server.model);
  if (server.engine === 'SGLang') return sglangArgs(server, role, path, place);
  return ['engine', ...server.extraArgs, ...commonArgs(server, role, path, place)];
}

/** Tunables first, then the user's arguments, which may override them, then those that must be as they are: the last one wins. */
function sglangArgs(server: ModelServer, role: Component, modelPath: string, place: EnginePlace): readonly string[] {
  return [
    // SGLang captures prefill graphs from 4 tokens on; a routed call carries one or two new ones.
    ...['--cuda-graph-bs-prefill', '1', '2', '4', '8', '16', '32', '64'],
    ...server.extraArgs,
    ...['--tp-size', String(server.tensorParallelSize ?? (role === 'slm' ? 1 : 2))],
    ...(server.memFractionStatic === undefined ? [] : ['--mem-fraction-static', String(server.memFractionStatic)]),
    ...['--page-size', '1'],
    // variables that the LeaderWorkerSet's controller gives to each pod
    ...(place.spansNodes ? ['--nnodes', '$(LWS_GROUP_SIZE)', '--node-rank', '$(LWS_WORKER_INDEX)'] : []),
    ...(place.spansNodes ? ['--dist-init-addr', `$(LWS_LEADER_ADDRESS):${ports.rendezvous}`] : []),
    ...commonArgs(server, role, modelPath, place),
  ];
}

/** What both engines are told in the same words. */
function commonArgs(server: ModelServer, role: Component, modelPath: string, { port }: EnginePlace): readonly string[] {
  return [
    ...['--model-path', modelPath, '--served-model-name', role, '--host', '$(POD_IP)', '--port', String(port)],
    ...(server.contextLength === undefined ? [] : ['--context-length', String(server.contextLength)]),
    '--enable-metrics',
    ...(role === 'slm' ? ['--enable-return-hidden-states'] : []),
  ];
}

/** @param gpus - of one container */
export function engineResources(server: ModelServer, gpus: number): JsonObject {
  const { requests, limits } = quantities(server.resources);
  return {
    ...(requests && { requests }),
    ...((limits ?? gpus > 0) && { limits: { ...limits, ...(gpus > 0 && { [gpuResource]: String(gpus) }) } }),
  };
}
