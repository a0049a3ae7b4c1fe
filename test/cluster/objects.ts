/** Small pods and Services that tests of the cluster need. */

/** Ends at once when asked to: a process with number 1 ignores signals that it does not handle. */
const quit = "process.on('SIGTERM', () => process.exit());";

/** A pod that does nothing until it is deleted. */
export function pod(name: string, image: string, container: object = {}, spec: object = {}): object {
  const command = ['node', '--eval', `${quit} setInterval(() => {}, 1e9)`];
  const containers = [{ name: 'main', image, imagePullPolicy: 'Never', command, ...container }];
  return { apiVersion: 'v1', kind: 'Pod', metadata: { name, labels: { app: name } }, spec: { containers, ...spec } };
}

/** A pod whose service account may list pods and nothing else. */
export function client(image: string): object[] {
  const metadata = { name: 'client' };
  const apiGroup = 'rbac.authorization.k8s.io';
  return [
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata },
    { apiVersion: `${apiGroup}/v1`, kind: 'Role', metadata, rules: [{ apiGroups: [''], resources: ['pods'], verbs: ['list'] }] },
    {
      apiVersion: `${apiGroup}/v1`,
      kind: 'RoleBinding',
      metadata,
      roleRef: { apiGroup, kind: 'Role', name: 'client' },
      subjects: [{ kind: 'ServiceAccount', name: 'client' }],
    },
    pod('client', image, {}, { serviceAccountName: 'client' }),
  ];
}

/** Two pods that answer every request with their own name, a Service `NAME` in front of them and a headless one `NAME-pods`. */
export function echoServer(image: string, name = 'echo'): object[] {
  const labels = { app: name };
  const code = `${quit}
    require('node:http').createServer((request, response) => response.end(process.env.HOSTNAME)).listen(8000, () => console.log('${name} listens'));`;
  const container = {
    name: 'main',
    image,
    imagePullPolicy: 'Never',
    command: ['node', '--eval', code],
    ports: [{ containerPort: 8000 }],
    readinessProbe: { httpGet: { port: 8000 }, periodSeconds: 1 },
  };
  const template = { metadata: { labels }, spec: { containers: [container] } };
  const service = (serviceName: string, spec: object) => ({
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: serviceName },
    spec: { selector: labels, ports: [{ port: 80, targetPort: 8000 }], ...spec },
  });
  return [
    { apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name }, spec: { replicas: 2, selector: { matchLabels: labels }, template } },
    service(name, {}),
    service(`${name}-pods`, { clusterIP: 'None' }),
  ];
}
