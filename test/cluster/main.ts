/** `npm run cluster -- up|down|status|images`: see docs/local-cluster.md. */
import { totalmem } from 'node:os';
import { parseArgs } from 'node:util';
import { ensureCluster, openCluster, type Cluster } from './cluster.ts';
import { down } from './down.ts';
import { buildableImages, loadImages } from './images.ts';
import { assertCanRun, thisMachine } from './prerequisites.ts';
import { stderrProgress } from './progress.ts';
import { settings } from './settings.ts';
import { status } from './status.ts';

const usage = `usage: npm run cluster -- COMMAND [--context NAME]

  up                starts a one-node Kubernetes on this machine (root), or what of it is not running
  down              removes it without a trace
  status            shows its programs, node, GPUs, pods and images
  images [NAME…]    builds images/NAME (default: all) and loads them into the node

  --context NAME    use an existing cluster of your kubeconfig instead; \`up\` then only checks that it answers and is new enough`;

function howToUse(cluster: Cluster): string {
  if (!cluster.isLocal) return `Ready. Context: ${cluster.context}`;
  return [
    '',
    `Kubernetes runs, with ${settings.gpus} (pretended) GPUs. To use it:`,
    '',
    `  export KUBECONFIG=${cluster.kubeconfig ?? ''}`,
    `  alias kubectl=${cluster.kubectlPath}`,
    '  kubectl get pods --all-namespaces',
    '',
    'To remove it: npm run cluster -- down',
  ].join('\n');
}

const progress = stderrProgress();

async function main(argv: readonly string[]): Promise<void> {
  const { values, positionals } = parseArgs({
    args: [...argv],
    options: { context: { type: 'string' }, help: { type: 'boolean' } },
    allowPositionals: true,
  });
  const [command] = positionals;
  const options = { progress, ...(values.context === undefined ? {} : { context: values.context }) };
  if (values.help || command === undefined) {
    console.log(usage);
  } else if (command === 'up') {
    console.log(howToUse(await ensureCluster(options)));
  } else if (command === 'down') {
    if (values.context) throw new Error('`down` removes the local cluster only; an existing one is not ours to remove.');
    assertCanRun(thisMachine(totalmem()));
    if (!(await down(progress))) console.log('There is no local cluster.');
  } else if (command === 'status') {
    console.log(await status(await openCluster(options)));
  } else if (command === 'images') {
    const cluster = await openCluster(options);
    const unknown = positionals.slice(1).filter((name) => !buildableImages.some((each) => each === name));
    if (unknown.length > 0) throw new Error(`there is no image ${unknown.join(', ')}; there are ${buildableImages.join(', ')}`);
    const names = buildableImages.filter((name) => positionals.length === 1 || positionals.includes(name));
    console.log((await loadImages(cluster, names, progress)).join('\n'));
  } else {
    throw new Error(`there is no command "${command}"\n\n${usage}`);
  }
}

try {
  await main(process.argv.slice(2));
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exit(1);
}
