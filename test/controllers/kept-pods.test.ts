import assert from 'node:assert/strict';
import { keptOfPod } from '../../src/controllers/kept-pods.ts';
import type { Live } from '../../src/kube/index.ts';
import type { Pod } from '../../src/kube/resources.ts';

describe('what the cache keeps of a pod', () => {
  const pod: Live<Pod> = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'p', uid: 'u', resourceVersion: '1', labels: { a: 'b' } },
    spec: {
      nodeName: 'node-1',
      containers: [
        {
          name: 'router',
          image: 'registry.example/router:1',
          args: ['--port', '8000'],
          env: [{ name: 'POD_IP' }],
          ports: [{ name: 'http', containerPort: 8000 }],
          resources: { limits: { 'nvidia.com/gpu': '1' } },
        },
      ],
      initContainers: [{ name: 'engine', restartPolicy: 'Always', volumeMounts: [{ name: 'models', mountPath: '/models' }] }],
      volumes: [{ name: 'models', emptyDir: {} }],
    },
    status: { podIP: '10.0.0.1', phase: 'Running' },
  };

  it('is all of it but how its containers are started and what is mounted', () => {
    assert.deepEqual(keptOfPod(pod), {
      ...pod,
      spec: {
        nodeName: 'node-1',
        containers: [
          {
            name: 'router',
            image: 'registry.example/router:1',
            ports: [{ name: 'http', containerPort: 8000 }],
            resources: { limits: { 'nvidia.com/gpu': '1' } },
          },
        ],
        initContainers: [{ name: 'engine', restartPolicy: 'Always' }],
      },
    });
  });

  it('is nothing made up for a pod without a spec', () => {
    const { spec: _, ...bare } = pod;
    assert.equal(keptOfPod(bare), bare);
  });
});
