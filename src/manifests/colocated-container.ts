import type { EnginePlan, PlannedEngine } from '../api/engine-plan.ts';
import type { ModelServer } from '../api/model-server.ts';
import { containers, ports } from '../api/names.ts';
import type { Component } from '../api/names.ts';
import type { R2RDeploymentSpec } from '../api/r2rdeployment.ts';
import { containerDefaults, httpProbe } from './container.ts';
import { engineArgs, engineEnv, engineImage, engineMounts, engineResources, gpuCount, sglangCommand } from './engine-container.ts';
import type { JsonObject } from './json.ts';
import { modelSource } from './model-source.ts';
import type { RenderOptions } from './options.ts';
import { sglangLauncher } from './sglang-launcher.ts';

/** Shares of a GPU's memory where none can be worked out: those that upstream's configuration has for R1 1.5B and 32B. */
const defaultShares = { slm: 0.15, llm: 0.8 } as const;

/** As long as an engine of its own pod has. */
const readyTimeoutSeconds = 1200;

/** Twice that, and the router's own time, are the pod's grace period. */
const stopTimeoutSeconds = 25;

/** GPUs of a unit: the LLM is split over all of them. */
export function colocatedGpus({ llm }: R2RDeploymentSpec): number {
  return gpuCount(llm, 'llm');
}

/**
 * The container `engine` of a Colocated pod: a launcher, and both engines. One container, because a device plugin gives a GPU to one container
 * only. Its start-up probe is the launcher's, so that the router starts at once and says which engine it waits for; the launcher itself gives up
 * on an engine that does not become ready.
 */
export function colocatedContainer(spec: R2RDeploymentSpec, options: RenderOptions): JsonObject {
  const { slm, llm } = spec;
  const sglang = slm.engine === 'SGLang';
  const plan = JSON.stringify(enginePlan(spec));
  return {
    name: containers.engine,
    image: engineImage(slm, options),
    ...(sglang && { command: ['python3', '-c', sglangLauncher] }),
    args: sglang ? [plan] : ['engines', plan],
    env: engineEnv(slm),
    ports: [
      { name: 'engine', containerPort: ports.engine },
      { name: 'engine-llm', containerPort: ports.colocatedLLM },
      { name: 'launcher', containerPort: ports.launcher },
    ],
    startupProbe: httpProbe('/health', 'launcher', { periodSeconds: 2, failureThreshold: 60, timeoutSeconds: 5 }),
    readinessProbe: httpProbe('/ready', 'launcher', { periodSeconds: 5, failureThreshold: 3, timeoutSeconds: 5 }),
    livenessProbe: httpProbe('/health', 'launcher', { periodSeconds: 10, failureThreshold: 6, timeoutSeconds: 5 }),
    resources: engineResources(slm, colocatedGpus(spec)),
    volumeMounts: engineMounts(slm, [modelSource(slm.model), modelSource(llm.model)]),
    ...containerDefaults,
  };
}

function enginePlan(spec: R2RDeploymentSpec): EnginePlan {
  const gpus = colocatedGpus(spec);
  const ofSLM = gpuCount(spec.slm, 'slm');
  return {
    engines: [
      // the last GPUs: the first one has the LLM's first rank, which does more than the others
      plannedEngine(spec.slm, 'slm', { port: ports.engine, visibleGpus: range(gpus - ofSLM, gpus) }),
      plannedEngine(spec.llm, 'llm', { port: ports.colocatedLLM, visibleGpus: range(0, gpus) }),
    ],
    report: { host: '$(POD_IP)', port: ports.launcher },
    readyTimeoutSeconds,
    stopTimeoutSeconds,
  };
}

function plannedEngine(
  server: ModelServer,
  role: Component,
  { port, visibleGpus }: { readonly port: number; readonly visibleGpus: readonly number[] },
): PlannedEngine {
  const { memFractionStatic, model } = server;
  const place = { port, spansNodes: false };
  const url = `http://$(POD_IP):${port}`;
  if (server.engine === 'CPU') return { name: role, url, command: ['r2r', ...engineArgs(server, role, place)], env: {} };
  const shared = { ...server, memFractionStatic: memFractionStatic ?? defaultShares[role] };
  return {
    name: role,
    url,
    command: [...sglangCommand, ...engineArgs(shared, role, place)],
    env: {
      CUDA_VISIBLE_DEVICES: visibleGpus.join(','),
      // Else SGLang refuses to split a model over GPUs of which one has less free memory than the others: here the one with the SLM.
      ...(role === 'llm' && { SGLANG_ENABLE_TP_MEMORY_INBALANCE_CHECK: 'false' }),
    },
    memory: { model: modelSource(model).path, gpus: gpuCount(server, role), fixed: memFractionStatic !== undefined },
  };
}

function range(from: number, to: number): readonly number[] {
  return Array.from({ length: to - from }, (_, index) => from + index);
}
