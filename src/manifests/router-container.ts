import { schemeOf } from '../api/endpoint-spec.ts';
import { containers, ports, revisionNames } from '../api/names.ts';
import type { RevisionNames } from '../api/names.ts';
import type { R2RDeploymentSpec } from '../api/r2rdeployment.ts';
import { containerDefaults, fieldEnv, httpProbe } from './container.ts';
import type { JsonObject } from './json.ts';
import { modelMounts, modelSource } from './model-source.ts';
import type { RenderOptions } from './options.ts';
import { endpointAdditions } from './router-addition.ts';
import type { RouterAddition } from './router-addition.ts';
import { networkAdditions, networkSources, routerResources } from './router-network.ts';

const tokenVolume = 'kube-api-access';

/** The container `router`, the main one of the SLM pod: the kubelet ends it before its sidecar, so that it drains with the SLM still there. */
export function routerContainer(instance: string, revision: string, spec: R2RDeploymentSpec, options: RenderOptions): JsonObject {
  const names = revisionNames(instance, revision);
  const slm = modelSource(spec.slm.model);
  const llm = modelSource(spec.llm.model);
  const additions = routerAdditions(spec);
  const api = schemeOf(spec.api);
  return {
    name: containers.router,
    image: spec.router.image ?? options.routerImage,
    args: [
      'router',
      ...['--slm-url', `http://$(POD_IP):${ports.engine}`],
      ...['--slm-model-path', slm.path, '--llm-model-path', llm.path],
      ...['--config-map', names.router, ...llmPlace(spec, names), '--namespace', '$(POD_NAMESPACE)'],
      ...['--port', String(ports.router), '--admin-port', String(ports.admin)],
      ...additions.flatMap(({ args }) => args),
    ],
    env: [fieldEnv('POD_IP', 'status.podIP'), fieldEnv('POD_NAMESPACE', 'metadata.namespace')],
    ports: [
      { name: api, containerPort: ports.router },
      { name: 'admin', containerPort: ports.admin },
    ],
    startupProbe: httpProbe('/health', api, { periodSeconds: 2, failureThreshold: 60, timeoutSeconds: 5 }),
    readinessProbe: httpProbe('/ready', api, { periodSeconds: 2, failureThreshold: 3, timeoutSeconds: 5 }),
    livenessProbe: httpProbe('/health', api, { periodSeconds: 10, failureThreshold: 6, timeoutSeconds: 5 }),
    resources: routerResources(spec.router),
    volumeMounts: [
      ...modelMounts([slm, llm, ...networkSources(spec.router)]),
      ...additions.flatMap(({ mounts }) => mounts),
      { name: 'router-tmp', mountPath: '/tmp' },
      { name: tokenVolume, mountPath: '/var/run/secrets/kubernetes.io/serviceaccount', readOnly: true },
    ],
    ...containerDefaults,
  };
}

/** Where the LLM is: behind a Service, or in the same pod. */
function llmPlace({ placement }: R2RDeploymentSpec, { llm }: RevisionNames): readonly string[] {
  if (placement === 'Disaggregated') return ['--llm-service', llm];
  return ['--llm-url', `http://$(POD_IP):${ports.colocatedLLM}`, '--launcher-url', `http://$(POD_IP):${ports.launcher}`];
}

/** The router's volumes besides model claims. The token is mounted into the router alone: an automatic mount would give it to the engine as well. */
export function routerVolumes(spec: R2RDeploymentSpec): readonly JsonObject[] {
  return [
    ...routerAdditions(spec).flatMap(({ volumes }) => volumes),
    { name: 'router-tmp', emptyDir: {} },
    {
      name: tokenVolume,
      projected: {
        sources: [
          { serviceAccountToken: { path: 'token', expirationSeconds: 3607 } },
          { configMap: { name: 'kube-root-ca.crt', items: [{ key: 'ca.crt', path: 'ca.crt' }] } },
          { downwardAPI: { items: [{ path: 'namespace', fieldRef: { fieldPath: 'metadata.namespace' } }] } },
        ],
      },
    },
  ];
}

function routerAdditions(spec: R2RDeploymentSpec): readonly RouterAddition[] {
  return [...networkAdditions(spec.router), ...endpointAdditions(spec.api)];
}
