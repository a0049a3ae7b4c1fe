/**
 * What kwok does to pods: Ready at once, native sidecars running, other init containers ended, and gone at once when they are deleted. One
 * write a pod, as few as there can be: what is measured is controllers, not kubelets.
 */
const now = '{{ $now | Quote }}';
const condition = (type: string): string => `- { type: ${type}, status: "True", lastTransitionTime: ${now} }`;
const status = '{ name: {{ .name | Quote }}, image: {{ .image | Quote }}, imageID: "", ready: true, restartCount: 0';
const running = `${status}, started: true, state: { running: { startedAt: ${now} } } }`;
const ended = `${status}, started: false, state: { terminated: { exitCode: 0, reason: Completed, startedAt: ${now}, finishedAt: ${now} } } }`;

const podStatus = [
  '{{ $now := Now }}',
  'conditions:',
  ...['Initialized', 'Ready', 'ContainersReady'].map(condition),
  'containerStatuses:',
  '{{ range .spec.containers }}',
  `- ${running}`,
  '{{ end }}',
  '{{ if .spec.initContainers }}',
  'initContainerStatuses:',
  '{{ range .spec.initContainers }}',
  '{{ if eq (or .restartPolicy "") "Always" }}',
  `- ${running}`,
  '{{ else }}',
  `- ${ended}`,
  '{{ end }}',
  '{{ end }}',
  '{{ end }}',
  'hostIP: {{ NodeIPWith .spec.nodeName | Quote }}',
  'podIP: {{ PodIPWith .spec.nodeName ( or .spec.hostNetwork false ) ( or .metadata.uid "" ) ( or .metadata.name "" ) ( or .metadata.namespace "" ) | Quote }}',
  'phase: Running',
  `startTime: ${now}`,
].join('\n');

interface Expression {
  readonly key: string;
  readonly operator: 'Exists' | 'DoesNotExist';
}

function podStage(name: string, matchExpressions: readonly Expression[], next: object): object {
  return {
    apiVersion: 'kwok.x-k8s.io/v1alpha1',
    kind: 'Stage',
    metadata: { name },
    spec: { resourceRef: { apiGroup: 'v1', kind: 'Pod' }, selector: { matchExpressions }, next },
  };
}

export const podStages: readonly object[] = [
  podStage(
    'pod-ready',
    [
      { key: '.metadata.deletionTimestamp', operator: 'DoesNotExist' },
      { key: '.status.podIP', operator: 'DoesNotExist' },
    ],
    { statusTemplate: podStatus },
  ),
  podStage('pod-delete', [{ key: '.metadata.deletionTimestamp', operator: 'Exists' }], { finalizers: { empty: true }, delete: true }),
];

/** A node with more room than any test needs. kwok makes it Ready and keeps its lease. */
export function fakeNode(name: string): { apiVersion: string; kind: string; metadata: { name: string }; status: object } {
  const room = { cpu: '1000', memory: '8Ti', pods: '1000', 'nvidia.com/gpu': '1000', 'ephemeral-storage': '8Ti' };
  return {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: {
      name,
      labels: { 'kubernetes.io/hostname': name, 'kubernetes.io/os': 'linux' },
      annotations: { 'kwok.x-k8s.io/node': 'fake' },
    } as {
      name: string;
    },
    status: { capacity: room, allocatable: room },
  };
}
