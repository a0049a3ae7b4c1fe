/** A process that wants a lease, for tests that kill it: prints `leading` when it has it. Arguments: kubeconfig, namespace, lease, identity. */
import { KubeConfig } from '@kubernetes/client-node';
import { KubeClient, LeaderElector } from '../../src/kube/index.ts';

const [kubeconfig = '', namespace = '', name = '', identity = ''] = process.argv.slice(2);
const config = new KubeConfig();
config.loadFromFile(kubeconfig);
const client = KubeClient.fromConfig(config, { fieldManager: identity });
const elector = new LeaderElector({ client, namespace, name, identity, leaseMs: 2000, renewDeadlineMs: 1500, retryMs: 300 });
const stop = new AbortController();
process.on('SIGTERM', () => stop.abort());
await elector.run(stop.signal, async (signal) => {
  console.log('leading');
  await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
});
await client.close();
