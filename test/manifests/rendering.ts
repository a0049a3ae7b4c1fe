import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { schemeOf } from '../../src/api/endpoint-spec.ts';
import type { R2RDeployment } from '../../src/api/r2rdeployment.ts';
import { revisionOf } from '../../src/api/revision.ts';
import type { KubeObject, RenderOptions } from '../../src/manifests/index.ts';
import { endpointService, podTemplates, revisionChildren, routerConfig, templateRecord } from '../../src/manifests/index.ts';
import { stored } from '../api/deployments.ts';

export const options: RenderOptions = { routerImage: 'registry.example/r2r/router:1', operatorNamespace: 'r2r-system' };

/** A resource from examples/, as the API server would return it. */
export function example(file: string): R2RDeployment {
  const { metadata, spec } = parse(readFileSync(`examples/${file}`, 'utf8')) as R2RDeployment;
  return stored(metadata.name, spec);
}

/** Everything the operator applies for a resource that has one revision. */
export function render(deployment: R2RDeployment, renderOptions = options): readonly KubeObject[] {
  const revision = revisionOf(deployment.spec);
  const templates = podTemplates(deployment, renderOptions);
  const { slm, llm } = deployment.spec;
  const input = { deployment, revision, templates, config: routerConfig(deployment), replicas: { slm: slm.replicas, llm: llm.replicas } };
  return [
    templateRecord(deployment, revision, templates),
    ...revisionChildren(input, renderOptions),
    endpointService(deployment, revision, new Set([schemeOf(deployment.spec.api)])),
  ];
}

interface Container {
  readonly name: string;
  readonly image: string;
  readonly command?: readonly string[];
  readonly args: readonly string[];
  readonly env?: readonly { readonly name: string; readonly value?: string }[];
  readonly restartPolicy?: string;
  readonly volumeMounts: readonly { readonly name: string; readonly mountPath: string; readonly readOnly?: boolean }[];
  readonly resources: { readonly limits?: Record<string, string>; readonly requests?: Record<string, string> };
  readonly securityContext: Record<string, unknown>;
  readonly terminationMessagePolicy: string;
}

/** What tests read of a rendered Deployment. */
export interface Workload {
  readonly metadata: { readonly name: string };
  readonly spec: {
    readonly replicas: number;
    readonly selector: { readonly matchLabels: Record<string, string> };
    readonly template: {
      readonly metadata: { readonly labels: Record<string, string>; readonly annotations: Record<string, string> };
      readonly spec: {
        readonly containers: readonly Container[];
        readonly initContainers?: readonly Container[];
        readonly volumes: readonly { readonly name: string; readonly [source: string]: unknown }[];
        readonly automountServiceAccountToken: boolean;
        readonly tolerations?: readonly unknown[];
        readonly [field: string]: unknown;
      };
    };
  };
}

export function workload(objects: readonly KubeObject[], role: 'slm' | 'llm'): Workload {
  const found = objects.find(({ kind, metadata }) => kind === 'Deployment' && metadata.name.endsWith(`-${role}`));
  if (!found) throw new Error(`no ${role} Deployment was rendered`);
  return found as unknown as Workload;
}
