import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import type { R2RDeployment } from '../../src/api/r2rdeployment.ts';
import type { Pod } from '../../src/kube/resources.ts';
import { ask, isRight, type Answer } from '../../tools/demo/conversation.ts';
import { portForward } from '../../tools/demo/port-forward.ts';
import { sglangCpuImage } from '../../tools/sglang/image.ts';
import { sglangVersion } from '../../tools/sglang/install.ts';
import { provideSglang, removeVolume } from '../../tools/sglang/provision.ts';
import { namespaced, type Namespace } from '../cluster/namespace.ts';
import { progress, whyNoCluster } from '../cluster/shared.ts';
import { until } from '../cluster/progress.ts';
import { operatorEnvironment, type Environment } from '../e2e/operator-environment.ts';

interface Problem {
  readonly question: string;
  readonly answer: string | number;
}

const root = join(import.meta.dirname, '../..');
const example = parse(readFileSync(join(root, 'examples/r2rdeployment-sglang-cpu.yaml'), 'utf8')) as R2RDeployment;
const { name } = example.metadata;
const problems = readFileSync(join(root, 'examples/models/problems/held-out.jsonl'), 'utf8')
  .split('\n', 5)
  .map((line) => JSON.parse(line) as Problem);

/** Not every answer of these models is right, and rounding may turn one; most are, and both models have spoken. */
function assertSane(answers: readonly Answer[]): void {
  const right = answers.filter(({ text }, index) => isRight(text, String(problems[index]?.answer)));
  assert.ok(right.length >= 3, `${right.length} of ${problems.length} right: ${JSON.stringify(answers)}`);
  for (const { llmRatio, degraded } of answers) {
    assert.ok(llmRatio > 0 && llmRatio < 1, `LLM ratio ${llmRatio}`);
    assert.equal(degraded, false);
  }
}

describe('an R2RDeployment whose pods run a real SGLang', function () {
  this.timeout(600_000);
  let env: Environment;
  let namespace: Namespace;

  before(async function () {
    this.timeout(45 * 60_000);
    if (whyNoCluster() !== undefined || process.env.R2R_TEST_CONTEXT) this.skip();
    env = await operatorEnvironment();
    namespace = await namespaced(env.cluster, 'live');
    await provideSglang(env.cluster, namespace.name, progress);
    await namespace.kubectl(['apply', '--filename', join(root, 'examples/r2rdeployment-sglang-cpu.yaml')]);
  });
  after(async () => {
    const made = namespace as Namespace | undefined;
    if (!made) return;
    await made.remove();
    await removeVolume(env.cluster, made.name);
  });

  const pods = async (): Promise<readonly Pod[]> =>
    (await env.get<{ items: readonly Pod[] }>('pods', ...namespace.flags, '--selector', `app.kubernetes.io/instance=${name}`)).items;
  const engineOf = ({ spec }: Pod): NonNullable<NonNullable<Pod['spec']>['containers']>[number] => {
    const engine = [...(spec?.initContainers ?? []), ...(spec?.containers ?? [])].find((container) => container.name === 'engine');
    assert.ok(engine, 'a pod has an engine');
    return engine;
  };
  const component = ({ metadata }: Pod) => metadata?.labels?.['app.kubernetes.io/component'];

  it('becomes Ready', async () => {
    await env.condition(namespace.name, name, 'Ready', { status: 'True' }, 590_000);
    assert.deepEqual((await pods()).map(component).sort(), ['llm', 'slm']);
  });

  it(`runs stock SGLang ${sglangVersion} on CPU, as nobody in particular, on a read-only file system and with no GPU`, async () => {
    for (const pod of await pods()) {
      const engine = engineOf(pod);
      assert.equal(engine.image, sglangCpuImage);
      assert.equal(pod.spec?.securityContext?.runAsUser, 10_001);
      assert.equal(engine.securityContext?.readOnlyRootFilesystem, true);
      assert.ok(!('nvidia.com/gpu' in (engine.resources?.limits ?? {})));
      const info = (await (await fetch(`http://${pod.status?.podIP ?? ''}:30000/server_info`)).json()) as Record<string, unknown>;
      assert.equal(info.version, sglangVersion);
      assert.equal(info.device, 'cpu');
      assert.equal(info.enable_return_hidden_states, component(pod) === 'slm');
    }
  });

  it('answers held-out problems through its Service, mostly right, with tokens of both models', async () => {
    await using forward = await portForward(env.cluster, namespace.name, `service/${name}`, 80);
    const endpoint = { baseURL: `${forward.url}/v1`, model: name };
    const answers: Answer[] = [];
    for (const { question } of problems) answers.push(await ask(endpoint, question, () => undefined, false));
    for (const { llmRatio, tokens, seconds } of answers) {
      progress(`${tokens} tokens, LLM ratio ${llmRatio.toFixed(3)}, ${(tokens / seconds).toFixed(0)} tokens/s`);
    }
    assertSane(answers);
  });

  it('answers them again all at once, out of the prefix cache', async () => {
    await using forward = await portForward(env.cluster, namespace.name, `service/${name}`, 80);
    const endpoint = { baseURL: `${forward.url}/v1`, model: name };
    const answers = await Promise.all(problems.map(({ question }) => ask(endpoint, question, () => undefined, false)));
    assertSane(answers);
  });

  it('leaves nothing behind when it is deleted', async () => {
    await namespace.kubectl(['delete', 'r2r', name, '--timeout=60s']);
    await until('its pods are gone', 240_000, async () => (await pods()).length === 0);
  });
});
