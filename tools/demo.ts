/**
 * `npm run demo`: from an empty machine to a small and a large model that answer together, token by token, in pods.
 * Everything it needs is set up on the way; a second run finds it cached.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { parse, stringify } from 'yaml';
import type { R2RDeployment } from '../src/api/r2rdeployment.ts';
import { ensureCluster } from '../test/cluster/cluster.ts';
import type { Cluster } from '../test/cluster/cluster.ts';
import { deploymentImages, loadImages } from '../test/cluster/images.ts';
import { until } from '../test/cluster/progress.ts';
import { ask, isRight } from './demo/conversation.ts';
import { portForward } from './demo/port-forward.ts';
import { progressLine, waitUntilReady } from './demo/readiness.ts';
import { installManifest } from './install-manifest.ts';
import { provideSglang } from './sglang/provision.ts';

const usage = `usage: npm run demo -- [--engine CPU|SGLang] [--context NAME]

  --engine CPU|SGLang  what serves the two tiny models: our CPU engine (default), or a real SGLang on CPU (7 GB, installed once)
  --context NAME       use an existing cluster of your kubeconfig; its nodes must be able to pull the images
`;

const root = join(import.meta.dirname, '..');
const namespace = 'r2r-demo';
const questions = 3;
const colour = process.stdout.isTTY && process.env.NO_COLOR === undefined;
const bold = (text: string): string => (colour ? `\u001b[1m${text}\u001b[0m` : text);
const say = (text = ''): void => void process.stdout.write(`${text}\n`);

let steps = 0;
function step(title: string): void {
  steps += 1;
  say(`\n${bold(`${steps}. ${title}`)}`);
}

interface Problem {
  readonly id: string;
  readonly question: string;
  readonly answer: string | number;
}

function heldOutProblems(): Problem[] {
  const lines = readFileSync(join(root, 'examples/models/problems/held-out.jsonl'), 'utf8').trim().split('\n');
  return lines.slice(0, questions).map((line) => JSON.parse(line) as Problem);
}

async function install(cluster: Cluster): Promise<void> {
  await cluster.kubectl(['apply', '--server-side', '--force-conflicts', '--filename', '-'], { input: installManifest() });
  await cluster.kubectl(['wait', '--for=condition=Established', 'crd/r2rdeployments.r2r.dev', '--timeout=60s']);
  // an earlier demo's operator may run older code under the same tag
  if (cluster.isLocal) await cluster.kubectl(['rollout', 'restart', 'deployment/r2r-operator', '--namespace=r2r-system']);
  await cluster.kubectl(['rollout', 'status', 'deployment/r2r-operator', '--namespace=r2r-system', '--timeout=180s'], {
    timeoutMs: 200_000,
  });
}

/** A demo starts afresh: what an earlier one left is removed. */
async function createNamespace(cluster: Cluster): Promise<void> {
  await cluster.kubectl(['delete', 'namespace', namespace, '--ignore-not-found', '--timeout=120s'], { timeoutMs: 130_000 });
  const manifest = stringify({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } });
  await cluster.kubectl(['apply', '--filename', '-'], { input: manifest });
}

/** The example as a user would apply it, in a namespace of the demo's own. */
async function deploy(cluster: Cluster, file: string): Promise<R2RDeployment> {
  const text = readFileSync(join(root, file), 'utf8');
  const deployment = parse(text) as R2RDeployment;
  say(await cluster.kubectl(['apply', '--namespace', namespace, '--filename', join(root, file)]));
  const line = progressLine((text) => void process.stdout.write(text), process.stdout.isTTY);
  return waitUntilReady(cluster, { name: deployment.metadata.name, namespace, timeoutMs: 600_000 }, line);
}

async function converse(cluster: Cluster, deployment: R2RDeployment): Promise<void> {
  const { name } = deployment.metadata;
  await using forward = await portForward(cluster, namespace, `service/${name}`, 80);
  const endpoint = { baseURL: `${forward.url}/v1`, model: deployment.spec.router.modelName ?? name };
  say(
    `Tokens that the large model supplied are ${colour ? '\u001b[1;35mcoloured\u001b[0m' : 'in [brackets]'}; all others are the small model's.`,
  );
  let right = 0;
  for (const problem of heldOutProblems()) {
    say(`\n${bold('Q')} ${problem.question}\n`);
    const answer = await ask(endpoint, problem.question, (text) => void process.stdout.write(text), colour);
    const verdict = isRight(answer.text, String(problem.answer));
    right += verdict ? 1 : 0;
    const speed = `${Math.round(answer.tokens / answer.seconds)} tokens/s`;
    say(
      `\n\n  ${verdict ? 'right' : `wrong (${problem.answer} is right)`}, LLM ratio ${(answer.llmRatio * 100).toFixed(1)} %, ${answer.tokens} tokens, ${speed}`,
    );
  }
  say(`\n${right} of ${questions} right.`);
}

/** The operator writes routing numbers when it next asks the routers: mostly within 15 s, and 50 s later where they had long been idle. */
async function showRouting(cluster: Cluster, name: string): Promise<void> {
  const look = async (): Promise<boolean> => {
    const live = JSON.parse(await cluster.kubectl(['get', 'r2r', name, '--namespace', namespace, '--output', 'json'])) as R2RDeployment;
    return live.status?.routing !== undefined;
  };
  await until('routing numbers in the status', 60_000, look, 1_000);
  say(`\n$ kubectl get r2r\n${await cluster.kubectl(['get', 'r2r', '--namespace', namespace])}`);
}

function lookAround(cluster: Cluster, name: string): void {
  const kubectl = cluster.kubeconfig ? `${cluster.kubectlPath} --kubeconfig ${cluster.kubeconfig}` : `kubectl --context ${cluster.context}`;
  step('Look around');
  say(
    [
      `alias k="${kubectl} --namespace ${namespace}"`,
      'k get r2r --output wide          # what you saw above, live',
      `k describe r2r ${name}           # conditions and events`,
      'k get pods,services,deployments  # the children',
      `k patch r2r ${name} --type merge --patch '{"spec":{"router":{"threshold":0.2}}}'   # more of the LLM, no restart`,
      `k port-forward service/${name} 8080:80   # then: curl localhost:8080/v1/chat/completions -H 'content-type: application/json' \\`,
      `    -d '{"model":"${name}","messages":[{"role":"user","content":"..."}]}'`,
      '',
      'Remove everything:',
      ...(cluster.isLocal
        ? ['npm run cluster -- down']
        : [`k delete namespace ${namespace}`, 'npm run synth && k delete -f dist/install.yaml']),
    ].join('\n'),
  );
}

async function main(argv: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...argv],
    options: { engine: { type: 'string', default: 'CPU' }, context: { type: 'string' }, help: { type: 'boolean', default: false } },
  });
  if (values.help) {
    say(usage);
    return;
  }
  if (values.engine !== 'CPU' && values.engine !== 'SGLang') throw new Error(`--engine must be CPU or SGLang, not "${values.engine}"`);
  const started = Date.now();
  const progress = (text: string): void => say(`  ${text}`);

  step('A Kubernetes cluster');
  const cluster = await ensureCluster({ progress, ...(values.context !== undefined && { context: values.context }) });
  step('Images');
  if (cluster.isLocal) await loadImages(cluster, deploymentImages, progress);
  else say('  an existing cluster pulls them itself');
  step('The operator');
  await install(cluster);
  await createNamespace(cluster);
  if (values.engine === 'SGLang') {
    step('A real SGLang for CPU');
    await provideSglang(cluster, namespace, progress);
  }
  step(`An R2RDeployment, engine ${values.engine}`);
  const file = values.engine === 'CPU' ? 'examples/r2rdeployment.yaml' : 'examples/r2rdeployment-sglang-cpu.yaml';
  const deployment = await deploy(cluster, file);
  say(`\n$ kubectl get r2r\n${await cluster.kubectl(['get', 'r2r', '--namespace', namespace])}`);
  step('Three problems the models have never seen');
  await converse(cluster, deployment);
  await showRouting(cluster, deployment.metadata.name);
  lookAround(cluster, deployment.metadata.name);
  say(`\nThe demo took ${Math.round((Date.now() - started) / 1000)} s.`);
}

try {
  await main(process.argv.slice(2));
} catch (error) {
  console.error(`\ndemo: ${error instanceof Error ? error.message : String(error)}`);
  process.exit(1);
}
