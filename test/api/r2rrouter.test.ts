import assert from 'node:assert/strict';
import { routerCustomResourceDefinition } from '../../src/api/r2rrouter-crd.ts';
import { routerSpecSchema } from '../../src/api/r2rrouter.ts';
import type { R2RRouterStatus } from '../../src/api/r2rrouter-status.ts';
import type { ApiServer } from './api-server.ts';
import { apiServer } from './api-server.ts';
import { set } from './deployments.ts';
import { routerManifest, routerPath } from './routers.ts';

const entry = { name: 'own', path: 'pvc://data/q.jsonl', questionField: 'q' };
const datasets = 'spec.source.pipeline.datasets';
const tiny = (rest: object) => ({ preset: 'tiny', source: { pipeline: { datasets: [{ preset: 'aime' }] } }, ...rest });

/** What a user got wrong: [sentence, path in the resource, value, what the message must name: the field and the fix]. */
const wrong: readonly (readonly [string, string, unknown, readonly RegExp[]])[] = [
  ['a name of 41 characters', 'metadata.name', 'a'.repeat(41), [/metadata\.name/, /at most 40 characters/, /shorter name/]],
  ['no source', 'spec.source', undefined, [/spec\.source: Required value/]],
  ['an empty source', 'spec.source', {}, [/spec\.source/, /exactly one of checkpoint, labels and pipeline/]],
  ['two sources', 'spec.source.labels', { path: 'pvc://data/labels' }, [/spec\.source/, /exactly one of checkpoint, labels and pipeline/]],
  ['an unknown preset', 'spec.preset', 'Qwen3-14B', [/spec\.preset/, /supported values: "R1-1\.5B\+R1-32B".*"tiny"/]],
  [
    'a preset without its models',
    'spec.models',
    {},
    [/models\.slm\.model: nothing says where/, /models\.llm\.model/, /models\.verifier\.model/],
  ],
  [
    'no preset and no model',
    'spec.preset',
    undefined,
    [/models\.slm\.model: nothing says where this model is/, /set preset and models\.claim/],
  ],
  ['a claim that is a path', 'spec.models.claim', 'weights/a', [/spec\.models\.claim/, /name of a PersistentVolumeClaim/]],
  [
    'a model on the Hub',
    'spec.models.slm.model',
    'hf://Qwen/Qwen3-0.6B',
    [/spec\.models\.slm\.model/, /the Jobs of an R2RRouter download no models; write the address/],
  ],
  ['a model name with a space', 'spec.models.llm.name', 'Qwen 8B', [/spec\.models\.llm\.name/, /such as Qwen\/Qwen3-0\.6B/]],
  [
    'GPUs for a CPU engine',
    'spec.models.slm',
    { engine: 'CPU', tensorParallelSize: 2 },
    [/spec\.models\.slm/, /tensorParallelSize: the CPU engine does not split/],
  ],
  [
    'GPU memory for a CPU engine',
    'spec.models.slm',
    { engine: 'CPU', memFractionStatic: 0.5 },
    [/spec\.models\.slm/, /memFractionStatic: is a share of GPU memory/],
  ],
  [
    'GPUs among the limits',
    'spec.models.llm.resources',
    { limits: { 'nvidia.com/gpu': 1 } },
    [/spec\.models\.llm/, /resources\.limits: nvidia\.com\/gpu follows/],
  ],
  [
    'a borrowed server that is also described',
    'spec.models.llm',
    { url: 'http://llm.models:30000', image: 'a:b' },
    [/spec\.models\.llm/, /url: the server is borrowed/],
  ],
  [
    'a server with a password',
    'spec.models.llm.url',
    'http://me:secret@llm',
    [/spec\.models\.llm\.url/, /without user, password or query/],
  ],
  [
    'an argument the operator sets',
    'spec.models.llm.extraArgs',
    ['--port=1'],
    [/spec\.models\.llm\.extraArgs\[0\]/, /set by the operator/],
  ],
  [
    'a continuation that is nowhere',
    'spec.models.continuation',
    { tensorParallelSize: 4 },
    [/models\.continuation\.model: no preset names this model/, /remove continuation/],
  ],
  ['an empty tag', 'spec.specialTokens.thinkEnd', '', [/spec\.specialTokens\.thinkEnd/, /at least 1 chars/]],
  ['no data set', datasets, [], [/spec\.source\.pipeline\.datasets/, /at least 1 items/]],
  ['33 data sets', datasets, Array.from({ length: 33 }, () => entry), [/datasets/, /at most 32 items/]],
  ['an unknown data set', datasets, [{ preset: 'gsm8k' }], [/datasets\[0\]\.preset/, /supported values: "aime"/]],
  ['a data set that is nothing', datasets, [{}], [/datasets\[0\]/, /preset: give either preset alone, or name and path/]],
  [
    'a data set that is both',
    datasets,
    [{ ...entry, preset: 'aime' }],
    [/datasets\[0\]/, /preset: give either preset alone, or name and path/],
  ],
  ['a data set without a column', datasets, [{ name: 'a', path: '/a' }], [/datasets\[0\]/, /questionField: give exactly one of/]],
  [
    'a data set with two columns',
    datasets,
    [{ ...entry, conversationField: 'c' }],
    [/datasets\[0\]/, /questionField: give exactly one of/],
  ],
  ['a data set elsewhere', datasets, [{ ...entry, path: 's3://a/b' }], [/datasets\[0\]\.path/, /hf:\/\/datasets\/<org>\/<repo>/]],
  ['a data set outside of its claim', datasets, [{ ...entry, path: 'pvc://data/../x' }], [/datasets\[0\]\.path/, /must not contain/]],
  ['a data set with a space in its name', datasets, [{ ...entry, name: 'my data' }], [/datasets\[0\]\.name/, /letters, digits/]],
  [
    'a filter by two things',
    datasets,
    [{ ...entry, filter: { bespoke: 'math', field: 'x', equals: 1 } }],
    [/datasets\[0\]\.filter/, /bespoke alone, or field with one of equals and in/],
  ],
  ['a filter without a value', datasets, [{ ...entry, filter: { field: 'x' } }], [/datasets\[0\]\.filter/, /one of equals and in/]],
  [
    'a choice of one option',
    datasets,
    [{ name: 'a', path: '/a', multipleChoice: { questionField: 'q', optionFields: ['a'] } }],
    [/optionFields/, /at least 2 items/],
  ],
  ['segments of 512', 'spec.source.pipeline.prefill', { segmentTokens: 512 }, [/prefill\.segmentTokens/, /less than or equal to 256/]],
  ['no attempt', 'spec.source.pipeline.verify', { attempts: 0 }, [/verify\.attempts/, /greater than or equal to 1/]],
  [
    'nothing to train on',
    'spec.source.pipeline.construct',
    { validationShare: 0.5, testShare: 0.5 },
    [/pipeline\.construct/, /testShare: validationShare and testShare must leave questions/],
  ],
  ['labels on the hub', 'spec.source', { labels: { path: 'hf://datasets/a/b' } }, [/spec\.source\.labels\.path/, /PersistentVolumeClaim/]],
  ['a relative checkpoint', 'spec.source', { checkpoint: { uri: 'router.pt' } }, [/spec\.source\.checkpoint\.uri/, /absolute path/]],
  [
    'a token for what needs none',
    'spec.source',
    { checkpoint: { uri: '/r.pt', tokenSecretRef: { name: 'a', key: 'b' } } },
    [/tokenSecretRef: applies only to an hf:\/\/ address/],
  ],
  [
    'a token without a key',
    'spec.source.pipeline.tokenSecretRef',
    { name: 'hub' },
    [/spec\.source\.pipeline\.tokenSecretRef\.key: Required value/],
  ],
  ['an unknown network', 'spec.training.network', 'Transformer', [/spec\.training\.network/, /supported values/]],
  ['a block without width', 'spec.training.hiddenDims', [64, 0], [/spec\.training\.hiddenDims\[1\]/, /greater than or equal to 1/]],
  ['no blocks', 'spec.training.hiddenDims', [], [/spec\.training\.hiddenDims/, /at least 1 items/]],
  ['an option of another loss', 'spec.training.loss', { gamma: 2 }, [/spec\.training\.loss/, /gamma: applies only to loss FocalLoss/]],
  ['a recall of 95', 'spec.training.minRecall', 95, [/spec\.training\.minRecall/, /less than or equal to 1/]],
  ['a gate above all', 'spec.gate.minRecall', 1.5, [/spec\.gate\.minRecall/, /less than or equal to 1/]],
  ['a bundle that is no digest', 'spec.rollout.bundle', 'x'.repeat(64), [/spec\.rollout\.bundle/, /64 hexadecimal digits/]],
  ['65 shards', 'spec.jobs.steps.respond.shards', 65, [/spec\.jobs\.steps\.respond\.shards/, /less than or equal to 64/]],
  ['no time at all', 'spec.jobs.startDeadlineSeconds', 0, [/spec\.jobs\.startDeadlineSeconds/, /greater than or equal to 1/]],
  ['Jobs that vanish at once', 'spec.jobs.ttlSecondsAfterFinished', 0, [/ttlSecondsAfterFinished/, /greater than or equal to 60/]],
  [
    'a monitoring namespace with a dot',
    'spec.jobs.networkPolicy.monitoringNamespace',
    'a.b',
    [/spec\.jobs\.networkPolicy\.monitoringNamespace/, /must be a namespace name/],
  ],
  ['a queue with a slash', 'spec.jobs.queueName', 'a/b', [/spec\.jobs\.queueName/, /name of a LocalQueue/]],
  [
    'a schedule for a checkpoint',
    'spec',
    tiny({ source: { checkpoint: { uri: '/r.pt' } }, schedule: { everyHours: 1 } }),
    [/schedule: only data sets/],
  ],
  ['a size without a number', 'spec.storage.workspace.size', 'big', [/spec\.storage\.workspace\.size/, /quantity such as 100Gi/]],
  [
    'a class for a claim that exists',
    'spec.storage.workspace',
    { claim: 'mine', storageClassName: 'fast' },
    [/spec\.storage\.workspace/, /storageClassName: is that of a claim that is made/],
  ],
  ['no earlier results kept', 'spec.storage.workspace.keep', 0, [/spec\.storage\.workspace\.keep/, /greater than or equal to 1/]],
  ['51 earlier results kept', 'spec.storage.workspace.keep', 51, [/spec\.storage\.workspace\.keep/, /less than or equal to 50/]],
  [
    'two places for bundles',
    'spec.storage.bundles',
    { claim: 'a', s3: { bucket: 'routers' } },
    [/spec\.storage\.bundles/, /claim: bundles are stored in one place/],
  ],
  ['a bucket in upper case', 'spec.storage.bundles.s3', { bucket: 'Routers' }, [/s3\.bucket/, /lower-case letters/]],
  ['a prefix that leaves the bucket', 'spec.storage.bundles.s3', { bucket: 'routers', prefix: 'a/../b' }, [/s3\.prefix/, /without "\."/]],
  [
    'an object store with a password',
    'spec.storage.bundles.s3',
    { bucket: 'abc', endpoint: 'http://a:b@c' },
    [/s3\.endpoint/, /without user/],
  ],
];

const right: readonly (readonly [string, object])[] = [
  ['the tiny pair', tiny({})],
  [
    'a checkpoint with one model',
    { preset: 'R1-1.5B+R1-32B', models: { claim: 'w' }, source: { checkpoint: { uri: 'hf://a/b/c.pt@main' } } },
  ],
  ['labels and the folder of the SLM', { models: { slm: { model: '/models/slm' } }, source: { labels: { path: 'pvc://data/labels' } } }],
  [
    'models of its own, one borrowed',
    {
      models: {
        claim: 'weights',
        slm: { model: 'pvc://weights/slm' },
        llm: { model: 'pvc://weights/llm', url: 'http://llm.models:30000' },
        continuation: { model: 'pvc://weights/llm', tensorParallelSize: 4 },
      },
      source: {
        pipeline: {
          datasets: [
            { name: 'a', path: 'hf://datasets/org/repo@v1', conversationField: 'turns', filter: { field: 'year', in: [2023, '2024'] } },
            {
              name: 'b',
              path: '/data/b',
              multipleChoice: { questionField: 'q', optionFields: ['right', 'wrong'] },
              template: '{{question}}',
            },
          ],
          respond: { templateVariables: { depth: { any: [1, null] } } },
        },
      },
      schedule: { everyHours: 168 },
      training: { loss: { type: 'FocalLoss', gamma: 2 }, config: { model: { init_args: { dropout_rate: 0.2 } } }, gpus: 4 },
      rollout: { policy: 'Manual', bundle: 'a'.repeat(64) },
      storage: {
        workspace: { claim: 'mine', accessMode: 'ReadWriteMany', keep: 50 },
        bundles: { s3: { bucket: 'routers', prefix: 'team/a' } },
      },
    },
  ],
];

describe('the API server, given an R2RRouter', function () {
  this.timeout(180_000);
  let server: ApiServer;
  let namespace: string;

  before(async () => {
    server = await apiServer();
    namespace = await server.namespace('routers');
  });
  after(() => server.close());

  for (const [what, path, value, messages] of wrong) {
    it(`refuses ${what}, naming the field and the fix`, async () => {
      const object = routerManifest('wrong', namespace);
      set(object, path, value);
      const { status, body } = await server.send('POST', `${routerPath(namespace)}?dryRun=All`, object);
      assert.equal(status, 422, JSON.stringify(body));
      for (const message of messages) assert.match(body.message ?? '', message);
    });
  }

  for (const [what, spec] of right) {
    it(`takes ${what}`, async () => {
      const object = { ...routerManifest('right', namespace), spec };
      const { status, body } = await server.send('POST', `${routerPath(namespace)}?dryRun=All&fieldValidation=Strict`, object);
      assert.equal(status, 201, body.message);
    });
  }

  it('fills in the defaults that our own types have', async () => {
    const object = routerManifest('defaults', namespace);
    const { status, body } = await server.send('POST', `${routerPath(namespace)}?fieldValidation=Strict`, object);
    assert.equal(status, 201, body.message);
    assert.deepEqual(body.spec, JSON.parse(JSON.stringify(routerSpecSchema.parse(object.spec))));
  });

  it('keeps a status and prints phase, step, progress, recall and positive rate', async () => {
    const object = routerManifest('printed', namespace);
    assert.equal((await server.send('POST', routerPath(namespace), object)).status, 201);
    const status: R2RRouterStatus = {
      phase: 'Running',
      summary: { step: 'respond', progress: '37%', recall: '96.1%', positiveRate: '11.9%' },
      steps: [{ name: 'respond', state: 'Running', hash: '0123456789abcdef', counts: { questions: 3 } }],
    };
    const patched = await server.send('PATCH', `${routerPath(namespace, 'printed')}/status`, { status }, 'application/merge-patch+json');
    assert.equal(patched.status, 200, patched.body.message);
    assert.deepEqual(patched.body.status, { observedGeneration: 0, ...status });
    const [version] = routerCustomResourceDefinition().spec.versions;
    const printed = version!.additionalPrinterColumns as readonly {
      readonly name: string;
      readonly jsonPath: string;
      readonly priority?: number;
    }[];
    assert.deepEqual(
      printed.filter(({ priority }) => priority === undefined).map(({ name }) => name.toUpperCase()),
      ['PHASE', 'STEP', 'PROGRESS', 'RECALL', 'POSITIVE%', 'AGE'],
    );
  });
});
