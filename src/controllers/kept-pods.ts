import type { Live } from '../kube/index.ts';
import type { Pod } from '../kube/resources.ts';

type Container = NonNullable<Pod['spec']>['containers'][number];

/**
 * What the cache keeps of a pod: nobody here reads how its containers are started and what is mounted, which is most of it, and there are many
 * pods. Names, images, ports, resources, node, status and metadata stay.
 */
export function keptOfPod(pod: Live<Pod>): Live<Pod> {
  if (!pod.spec) return pod;
  const { volumes: _, tolerations: __, affinity: ___, topologySpreadConstraints: ____, containers, initContainers, ...spec } = pod.spec;
  return {
    ...pod,
    spec: {
      ...spec,
      containers: containers.map(keptOfContainer),
      ...(initContainers && { initContainers: initContainers.map(keptOfContainer) }),
    },
  };
}

function keptOfContainer({ name, image, ports, resources, restartPolicy }: Container): Container {
  return {
    name,
    ...(image !== undefined && { image }),
    ...(ports && { ports }),
    ...(resources && { resources }),
    ...(restartPolicy !== undefined && { restartPolicy }),
  };
}
