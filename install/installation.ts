import { ApiObject, Chart } from 'cdk8s';
import { k8s } from 'cdk8s-plus-27';
import type { Construct } from 'constructs';
import { customResourceDefinition } from '../src/api/crd.ts';
import { routerCustomResourceDefinition } from '../src/api/r2rrouter-crd.ts';
import { operatorLabels } from '../src/manifests/index.ts';
import { addOperatorAccess, addUserRoles } from './access.ts';

export interface InstallationOptions {
  readonly operatorImage: string;
  /** Image of routers and CPU engines, handed to the operator. */
  readonly routerImage: string;
  /** Image of R2RRouters' training step, handed to the operator. */
  readonly trainerImage: string;
  /** Version label of every object. */
  readonly version: string;
  /** @default r2r-system */
  readonly namespace?: string;
  /** @default 2: one leads, the other takes over */
  readonly replicas?: number;
  /** Further flags of `r2r operator`, such as `--sglang-image`. @default none */
  readonly operatorArgs?: readonly string[];
}

const name = 'r2r-operator';
const ports = { metrics: 8080, health: 8081 } as const;

/** Everything `kubectl apply -f install.yaml` brings: namespace, CRDs, access, operator. */
export class Installation extends Chart {
  constructor(scope: Construct, id: string, options: InstallationOptions) {
    const { namespace = 'r2r-system', version } = options;
    const labels = {
      ...operatorLabels,
      'app.kubernetes.io/part-of': 'r2r-kubernetes',
      'app.kubernetes.io/version': version,
    };
    super(scope, id, { disableResourceNameHashes: true, labels });
    new k8s.KubeNamespace(this, 'namespace', {
      metadata: { name: namespace, labels: { 'pod-security.kubernetes.io/enforce': 'restricted' } },
    });
    new ApiObject(this, 'crd', customResourceDefinition());
    new ApiObject(this, 'router-crd', routerCustomResourceDefinition());
    addOperatorAccess(this, name, namespace);
    addUserRoles(this);
    addOperator(this, namespace, options);
  }
}

function addOperator(
  chart: Chart,
  namespace: string,
  { operatorImage, routerImage, trainerImage, replicas = 2, operatorArgs = [] }: InstallationOptions,
): void {
  new k8s.KubePodDisruptionBudget(chart, 'disruption-budget', {
    metadata: { name, namespace },
    spec: { maxUnavailable: k8s.IntOrString.fromNumber(1), selector: { matchLabels: { ...operatorLabels } } },
  });
  new ApiObject(chart, 'operator', {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name, namespace },
    spec: {
      replicas,
      selector: { matchLabels: operatorLabels },
      template: {
        metadata: { labels: operatorLabels, annotations: { 'kubectl.kubernetes.io/default-container': 'operator' } },
        spec: {
          serviceAccountName: name,
          enableServiceLinks: false,
          terminationGracePeriodSeconds: 30,
          securityContext: { runAsNonRoot: true, runAsUser: 10001, runAsGroup: 10001, seccompProfile: { type: 'RuntimeDefault' } },
          topologySpreadConstraints: [
            {
              topologyKey: 'kubernetes.io/hostname',
              maxSkew: 1,
              whenUnsatisfiable: 'ScheduleAnyway',
              labelSelector: { matchLabels: operatorLabels },
            },
          ],
          containers: [
            {
              name: 'operator',
              image: operatorImage,
              args: [
                'operator',
                ...['--router-image', routerImage, '--trainer-image', trainerImage],
                ...['--metrics-port', String(ports.metrics), '--health-port', String(ports.health)],
                ...operatorArgs,
              ],
              env: [
                { name: 'POD_NAMESPACE', valueFrom: { fieldRef: { fieldPath: 'metadata.namespace' } } },
                { name: 'POD_NAME', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } },
              ],
              ports: [
                { name: 'metrics', containerPort: ports.metrics },
                { name: 'health', containerPort: ports.health },
              ],
              startupProbe: { httpGet: { path: '/healthz', port: 'health' }, periodSeconds: 2, failureThreshold: 60, timeoutSeconds: 5 },
              livenessProbe: { httpGet: { path: '/healthz', port: 'health' }, periodSeconds: 10, failureThreshold: 6, timeoutSeconds: 5 },
              readinessProbe: { httpGet: { path: '/readyz', port: 'health' }, periodSeconds: 5, timeoutSeconds: 5 },
              resources: { requests: { cpu: '50m', memory: '128Mi' }, limits: { memory: '512Mi' } },
              securityContext: { allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: { drop: ['ALL'] } },
              terminationMessagePolicy: 'FallbackToLogsOnError',
            },
          ],
        },
      },
    },
  });
}
