/**
 * A stand-in for the CRD of LeaderWorkerSets (https://github.com/kubernetes-sigs/lws, api/leaderworkerset/v1), written for these tests: the real one and
 * its controller cannot be had here. It knows the fields that we write, and the defaults that its server fills in; a test plays the controller's part.
 */
const template = { type: 'object', 'x-kubernetes-preserve-unknown-fields': true };
const count = { type: 'integer', format: 'int32' };

export const leaderWorkerSetDefinition = {
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: {
    name: 'leaderworkersets.leaderworkerset.x-k8s.io',
    // *.k8s.io groups are protected; a CRD of one needs this
    annotations: { 'api-approved.kubernetes.io': 'unapproved, a stand-in for tests' },
  },
  spec: {
    group: 'leaderworkerset.x-k8s.io',
    names: {
      kind: 'LeaderWorkerSet',
      listKind: 'LeaderWorkerSetList',
      plural: 'leaderworkersets',
      singular: 'leaderworkerset',
      shortNames: ['lws'],
    },
    scope: 'Namespaced',
    versions: [
      {
        name: 'v1',
        served: true,
        storage: true,
        subresources: { status: {}, scale: { specReplicasPath: '.spec.replicas', statusReplicasPath: '.status.replicas' } },
        schema: {
          openAPIV3Schema: {
            type: 'object',
            properties: {
              spec: {
                type: 'object',
                required: ['leaderWorkerTemplate'],
                properties: {
                  replicas: { ...count, default: 1 },
                  startupPolicy: { type: 'string', enum: ['LeaderCreated', 'LeaderReady'], default: 'LeaderCreated' },
                  rolloutStrategy: {
                    type: 'object',
                    properties: { type: { type: 'string', enum: ['RollingUpdate'], default: 'RollingUpdate' } },
                  },
                  leaderWorkerTemplate: {
                    type: 'object',
                    required: ['workerTemplate'],
                    properties: {
                      size: { ...count, default: 1 },
                      restartPolicy: {
                        type: 'string',
                        enum: ['Default', 'RecreateGroupOnPodRestart', 'RecreateGroupAfterStart', 'None'],
                        default: 'RecreateGroupOnPodRestart',
                      },
                      leaderTemplate: template,
                      workerTemplate: template,
                    },
                  },
                },
              },
              status: {
                type: 'object',
                properties: {
                  replicas: count,
                  readyReplicas: count,
                  updatedReplicas: count,
                  observedGeneration: { type: 'integer', format: 'int64' },
                  conditions: { type: 'array', items: template },
                },
              },
            },
          },
        },
      },
    ],
  },
};
