import assert from 'node:assert/strict';
import type { ApiServer } from './api-server.ts';
import { apiServer, resourcePath } from './api-server.ts';
import { manifest, set } from './deployments.ts';

/** What a user got wrong: [sentence, path in the resource, value, what the message must name: the field and the fix]. */
const wrong: readonly (readonly [string, string, unknown, readonly RegExp[]])[] = [
  ['a name of 41 characters', 'metadata.name', 'a'.repeat(41), [/metadata\.name/, /at most 40 characters/, /shorter name/]],
  ['a name that starts with a digit', 'metadata.name', '1-tiny', [/metadata\.name/, /must start with a letter/]],
  ['a name with a dot', 'metadata.name', 'tiny.v1', [/metadata\.name/, /only lower-case letters, digits and -/]],
  ['no spec', 'spec', undefined, [/spec: Required value/]],
  ['no SLM', 'spec.slm', undefined, [/spec\.slm: Required value/]],
  ['no LLM', 'spec.llm', undefined, [/spec\.llm: Required value/]],
  ['no model', 'spec.slm.model', undefined, [/spec\.slm\.model: Required value/]],
  ['an empty model', 'spec.llm.model', '', [/spec\.llm\.model/, /at least 1 chars/]],
  [
    'a model on the hub without a place for it',
    'spec.llm.model',
    'hf://Qwen/Qwen3-8B',
    [/modelCache: hf:\/\/ models are downloaded to a volume; set modelCache/],
  ],
  ...(
    [
      ['without an organisation', 'hf://Qwen3-8B@main'],
      ['with an empty revision', 'hf://Qwen/Qwen3-8B@'],
      ['with a file', 'hf://Qwen/Qwen3-8B/config.json@main'],
      ['with a revision of 129 characters', `hf://Qwen/Qwen3-8B@${'a'.repeat(129)}`],
    ] as const
  ).map(
    ([what, model]) =>
      [
        `a model on the hub ${what}`,
        'spec.llm.model',
        model,
        [/spec\.llm\.model/, /a model on the hub must be hf:\/\/<org>\/<repo>@<revision>, such as hf:\/\/Qwen\/Qwen3-8B@main/],
      ] as const,
  ),
  [
    'a revision that leaves its repository',
    'spec.llm.model',
    'hf://Qwen/Qwen3-8B@a/../b',
    [/spec\.llm\.model/, /must not contain "\." or "\.\."/],
  ],
  [
    "a storage class for somebody else's claim",
    'spec.modelCache',
    { claim: 'weights', storageClassName: 'fast' },
    [/spec\.modelCache/, /storageClassName: is that of a claim that is made; remove it, or remove claim/],
  ],
  [
    'a hub token that everybody could read',
    'spec.modelCache',
    { endpoint: 'http://hub.models', tokenSecretRef: { name: 'hub', key: 'token' } },
    [/spec\.modelCache/, /tokenSecretRef: a token is never sent over http:\/\//],
  ],
  [
    'a hub with a password in its address',
    'spec.modelCache.endpoint',
    'https://user:secret@hub.example',
    [/spec\.modelCache\.endpoint/, /without user, password or query/],
  ],
  ['a cache of much', 'spec.modelCache.size', 'much', [/spec\.modelCache\.size/, /a quantity such as 100Gi/]],
  [
    'a claim in another namespace',
    'spec.modelCache.claim',
    'other/weights',
    [/spec\.modelCache\.claim/, /PersistentVolumeClaim in the same namespace/],
  ],
  ['a relative model path', 'spec.slm.model', 'models/slm', [/spec\.slm\.model/, /must be pvc:\/\/<claim>\/<path> or an absolute path/]],
  ['the root folder as a model', 'spec.slm.model', '/', [/spec\.slm\.model/, /absolute path/]],
  ['a model URL of another scheme', 'spec.slm.model', 's3://bucket/slm', [/spec\.slm\.model/, /must be pvc:\/\//]],
  [
    'a model path that leaves its folder',
    'spec.llm.model',
    'pvc://weights/../etc',
    [/spec\.llm\.model/, /must not contain "\." or "\.\."/],
  ],
  ['a model path with a variable in it', 'spec.slm.model', '/models/$(HOME)', [/spec\.slm\.model/, /absolute path/]],
  ['a claim in upper case', 'spec.llm.model', 'pvc://Weights/llm', [/spec\.llm\.model/, /pvc:\/\/<claim>/]],
  ['a model path of 1,025 characters', 'spec.slm.model', `/${'a'.repeat(1024)}`, [/spec\.slm\.model/, /Too long/, /1024/]],
  ['an unknown engine', 'spec.slm.engine', 'vLLM', [/spec\.slm\.engine/, /supported values: "SGLang", "CPU"/]],
  ['an image with a space', 'spec.llm.image', 'sglang: latest', [/spec\.llm\.image/, /without white space/, /registry\.example/]],
  ['an empty image', 'spec.router.image', '', [/spec\.router\.image/, /at least 1 chars/]],
  ['two GPUs for the CPU engine', 'spec.slm.tensorParallelSize', 2, [/spec\.slm/, /tensorParallelSize/, /leave it out, or set it to 1/]],
  ['GPU memory for the CPU engine', 'spec.slm.memFractionStatic', 0.5, [/spec\.slm/, /memFractionStatic/, /leave it out/]],
  ['no GPU at all', 'spec.llm.tensorParallelSize', 0, [/spec\.llm\.tensorParallelSize/, /greater than or equal to 1/]],
  ['17 GPUs', 'spec.llm.tensorParallelSize', 17, [/spec\.llm\.tensorParallelSize/, /less than or equal to 16/]],
  ['all GPU memory', 'spec.llm.memFractionStatic', 1, [/spec\.llm\.memFractionStatic/, /from 0\.05 to 0\.95, such as 0\.8/]],
  ['a context of 8 tokens', 'spec.llm.contextLength', 8, [/spec\.llm\.contextLength/, /greater than or equal to 16/]],
  ['a negative replica count', 'spec.llm.replicas', -1, [/spec\.llm\.replicas/, /greater than or equal to 0/]],
  ['101 replicas', 'spec.slm.replicas', 101, [/spec\.slm\.replicas/, /less than or equal to 100/]],
  ['half a replica', 'spec.llm.replicas', 1.5, [/spec\.llm\.replicas/, /must be of type integer/]],
  ['replicas in words', 'spec.llm.replicas', 'two', [/spec\.llm\.replicas/, /must be of type integer/]],
  ['autoscaling without a maximum', 'spec.llm.autoscaling', {}, [/spec\.llm\.autoscaling\.maxReplicas: Required value/]],
  [
    'a minimum above the maximum',
    'spec.llm.autoscaling',
    { minReplicas: 3, maxReplicas: 2 },
    [/spec\.llm\.autoscaling/, /minReplicas is above maxReplicas; lower minReplicas or raise maxReplicas/],
  ],
  ['SLM pods scaled to zero', 'spec.slm.autoscaling', { minReplicas: 0, maxReplicas: 2 }, [/minReplicas/, /greater than or equal to 1/]],
  [
    'a GPU budget too small for one replica',
    'spec.llm',
    { model: '/llm', tensorParallelSize: 4, autoscaling: { minReplicas: 0, maxReplicas: 2, gpuBudget: 3 } },
    [/spec\.llm/, /autoscaling\.gpuBudget: is too small for minReplicas/, /raise gpuBudget or lower minReplicas/],
  ],
  [
    'a utilization above all there is',
    'spec.llm.autoscaling',
    { maxReplicas: 2, targetUtilization: 1.5 },
    [/targetUtilization: must be a share from 0\.1 to 1, such as 0\.7/],
  ],
  ['a tolerance in per cent', 'spec.llm.autoscaling', { maxReplicas: 2, tolerance: 10 }, [/tolerance: must be a share from 0 to 0\.5/]],
  [
    'no capacity at all',
    'spec.llm.autoscaling',
    { maxReplicas: 2, capacityPerReplica: 0 },
    [/capacityPerReplica: must be calls a second, above 0/],
  ],
  [
    'an argument the operator sets',
    'spec.llm.extraArgs',
    ['--port', '1'],
    [/spec\.llm\.extraArgs\[0\]/, /set by the operator; use the field/],
  ],
  ['an argument the operator sets, with =', 'spec.slm.extraArgs', ['--tp=2'], [/spec\.slm\.extraArgs\[0\]/, /tensorParallelSize/]],
  ['the prefix cache switched off', 'spec.llm.extraArgs', ['-x', '--disable-radix-cache'], [/spec\.llm\.extraArgs\[1\]/, /leave it out/]],
  ['an empty argument', 'spec.llm.extraArgs', [''], [/spec\.llm\.extraArgs\[0\]/, /at least 1 chars/]],
  ['65 arguments', 'spec.llm.extraArgs', Array.from({ length: 65 }, () => '-v'), [/spec\.llm\.extraArgs/, /at most 64 items/]],
  [
    'GPUs among the limits',
    'spec.llm.resources.limits',
    { 'nvidia.com/gpu': 1 },
    [/spec\.llm/, /resources\.limits: nvidia\.com\/gpu/, /set tensorParallelSize/],
  ],
  [
    'GPUs among the requests',
    'spec.llm.resources.requests',
    { 'nvidia.com/gpu': '1' },
    [/spec\.llm/, /resources\.requests/, /set tensorParallelSize/],
  ],
  [
    'memory without a number',
    'spec.slm.resources.limits',
    { memory: 'much' },
    [/spec\.slm\.resources\.limits\[memory\]/, /a quantity such as 2, 500m or 4Gi/],
  ],
  ['negative CPU', 'spec.router.resources.requests', { cpu: -1 }, [/spec\.router\.resources\.requests\[cpu\]/, /a quantity such as/]],
  ['an unknown roll-out', 'spec.rollout.strategy', 'Recreate', [/spec\.rollout\.strategy/, /supported values: "Surge", "InPlace", "None"/]],
  ['a deadline of 5 s', 'spec.rollout.progressDeadlineSeconds', 5, [/progressDeadlineSeconds/, /greater than or equal to 10/]],
  ['half a suspension', 'spec.suspend', 'yes', [/spec\.suspend/, /must be of type boolean/]],
  [
    'a priority class in upper case',
    'spec.llm.priorityClassName',
    'High',
    [/priorityClassName: must be the name of a PriorityClass: lower-case letters/],
  ],
  ['a pod overlay that is a list', 'spec.slm.podTemplate', [], [/spec\.slm\.podTemplate/, /must be of type object/]],
  [
    'a label of 64 characters',
    'spec.llm.podTemplate.metadata.labels',
    { a: 'x'.repeat(64) },
    [/podTemplate\.metadata\.labels\.a/, /Too long/],
  ],
  [
    'an unknown strategy',
    'spec.router.strategy',
    'neural_multi_input',
    [/spec\.router\.strategy/, /supported values: "neural", "neural_rolling", "entropy", .*"random", "slm", "llm"/],
  ],
  [
    'a threshold for a strategy without one',
    'spec.router.strategy',
    'llm',
    [/spec\.router/, /threshold: applies only to strategy neural, neural_rolling or entropy/, /remove threshold/],
  ],
  ['a negative threshold', 'spec.router.threshold', -0.1, [/spec\.router\.threshold/, /greater than or equal to 0/]],
  ['a threshold above every entropy', 'spec.router.threshold', 5.1, [/spec\.router\.threshold/, /less than or equal to 5/]],
  [
    'a probability above 1',
    'spec.router',
    { strategy: 'neural_rolling', threshold: 1.1, checkpoint: { uri: '/r.pt' } },
    [/spec\.router/, /threshold: is a probability with strategy neural or neural_rolling/, /leave it out/],
  ],
  [
    'a probability above 1 where the checkpoint makes the strategy neural',
    'spec.router',
    { threshold: 2, checkpoint: { uri: '/r.pt' } },
    [/threshold: is a probability/, /set it from 0 to 1/],
  ],
  [
    'a neural strategy without a network',
    'spec.router.strategy',
    'neural',
    [/spec\.router/, /strategy: neural and neural_rolling need a router network; set checkpoint\.uri/],
  ],
  [
    'a neural strategy for requests without a network',
    'spec.router.overrides',
    { strategies: ['random', 'neural'] },
    [/spec\.router/, /overrides\.strategies: neural and neural_rolling need a router network/, /remove them/],
  ],
  [
    'bounds for a threshold that the strategy lacks',
    'spec.router',
    { strategy: 'slm', overrides: { minThreshold: 0.1 } },
    [/spec\.router/, /overrides: minThreshold and maxThreshold bound the threshold/, /remove them/],
  ],
  [
    'bounds the wrong way round',
    'spec.router.overrides',
    { minThreshold: 0.6, maxThreshold: 0.5 },
    [/spec\.router\.overrides/, /minThreshold: must not be above maxThreshold/],
  ],
  ['the same strategy twice', 'spec.router.overrides', { strategies: ['slm', 'slm'] }, [/overrides\.strategies\[1\]/, /Duplicate value/]],
  ...(
    [
      ['aleatoricThreshold', 2, 'immediate, momentum, rolling or duo_rolling'],
      ['epistemicThreshold', 0.5, 'immediate'],
      ['entropyThreshold', 0.5, 'immediate or rolling'],
      ['momentumFactor', 0.5, 'momentum'],
      ['slmToLLMThreshold', 0.5, 'momentum'],
      ['llmToSLMThreshold', 0.5, 'momentum'],
      ['windowSize', 2, 'neural_rolling, rolling or duo_rolling'],
      ['llmProbability', 0.5, 'random'],
      ['seed', 7, 'random'],
    ] as const
  ).flatMap(([option, value, users]) =>
    [{ strategy: 'entropy' }, {}].map(
      (router) =>
        [
          `${option} for ${router.strategy ? 'strategy entropy' : 'the strategy that is left out'}`,
          'spec.router',
          { ...router, strategyOptions: { [option]: value } },
          [/spec\.router/, new RegExp(`strategyOptions\\.${option}: applies only to strategy ${users}; remove it`)],
        ] as const,
    ),
  ),
  [
    'a window of no token',
    'spec.router',
    { strategy: 'rolling', strategyOptions: { windowSize: 0 } },
    [/spec\.router\.strategyOptions\.windowSize/, /greater than or equal to 1/],
  ],
  [
    'a share above all',
    'spec.router',
    { strategy: 'random', strategyOptions: { llmProbability: 1.5 } },
    [/spec\.router\.strategyOptions\.llmProbability/, /less than or equal to 1/],
  ],
  ...(
    [
      ['a relative path', 'checkpoints/router.pt', /must be an absolute path such as/],
      ['what looks like a repository', 'org/repo', /hf:\/\/<org>\/<repo>\/<file>@<revision>/],
      ['the root', '/', /must be an absolute path such as/],
      ['http', 'http://host/router.pt', /http:\/\/ is refused.*write https:\/\//],
      ['a password in the address', 'https://user:secret@host/router.pt', /without user, query and fragment/],
      ['a signature in the address', 'https://host/router.pt?signature=x', /without user, query and fragment/],
      ['a host without a file', 'https://host/', /https:\/\/<host>\/<path>/],
      ['a claim without a path', 'pvc://weights', /pvc:\/\/<claim>\/<path>/],
      ['a claim in upper case', 'pvc://Weights/router.pt', /pvc:\/\/<claim>\/<path>/],
      ['a repository without a file', 'hf://org/repo@main', /must be hf:\/\/<org>\/<repo>\/<file>@<revision>, such as/],
      ['a repository without a revision', 'hf://org/repo/router.pt', /must be hf:\/\/<org>\/<repo>\/<file>@<revision>/],
      ['another scheme', 'gs://bucket/router.pt', /must be an absolute path such as/],
      ['a bucket without a key', 's3://bucket/', /s3:\/\/<bucket>\/<key>/],
      ['a bucket in upper case', 's3://Bucket/router.pt', /s3:\/\/<bucket>\/<key>/],
      ['a key that leaves its folder', 's3://bucket/a/../router.pt', /must not contain "\." or "\.\."/],
      ['a path that leaves its folder', '/models/../etc/router.pt', /must not contain "\." or "\.\."/],
      ['a claim path that leaves its claim', 'pvc://weights/../router.pt', /must not contain "\." or "\.\."/],
      ['a file that leaves its repository', 'hf://org/repo/../router.pt@main', /must not contain "\." or "\.\."/],
      ['white space', '/models/my router.pt', /must be an absolute path such as/],
    ] as const
  ).map(
    ([what, uri, pattern]) =>
      [`${what} as a checkpoint`, 'spec.router.checkpoint.uri', uri, [/spec\.router\.checkpoint\.uri/, pattern]] as const,
  ),
  [
    'a checkpoint without an address',
    'spec.router.checkpoint',
    {},
    [/spec\.router\.checkpoint/, /needs exactly one of uri and routerRef; set one/],
  ],
  [
    'a checkpoint from two places',
    'spec.router.checkpoint',
    { uri: '/models/a.pt', routerRef: { name: 'math' } },
    [/spec\.router\.checkpoint/, /needs exactly one of uri and routerRef; set one of them, or remove the other/],
  ],
  [
    'a hub token for the bundles of an R2RRouter',
    'spec.router.checkpoint',
    { routerRef: { name: 'math' }, tokenSecretRef: { name: 'hub', key: 'token' } },
    [/spec\.router\.checkpoint/, /tokenSecretRef: applies only to an hf:\/\/ address/],
  ],
  [
    'an R2RRouter without a name',
    'spec.router.checkpoint',
    { routerRef: {} },
    [/spec\.router\.checkpoint\.routerRef\.name: Required value/],
  ],
  ...(
    [
      ['with a dot in its name', 'math.v1', /must be the name of an R2RRouter: a letter, then lower-case letters, digits and -/],
      ['of another namespace', 'team/math', /must be the name of an R2RRouter/],
      ['of 41 characters', 'a'.repeat(41), /Too long|40/],
      ['with an empty name', '', /at least 1 chars/],
    ] as const
  ).map(
    ([what, routerName, pattern]) =>
      [
        `an R2RRouter ${what}`,
        'spec.router.checkpoint',
        { routerRef: { name: routerName } },
        [/spec\.router\.checkpoint\.routerRef\.name/, pattern],
      ] as const,
  ),
  [
    'a probability above 1 where an R2RRouter makes the strategy neural',
    'spec.router',
    { threshold: 2, checkpoint: { routerRef: { name: 'math' } } },
    [/spec\.router/, /threshold: is a probability/],
  ],
  ['an unknown precision', 'spec.router.precision', 'int4', [/spec\.router\.precision/, /supported values: "int8", "fp32"/]],
  ['an unknown device', 'spec.router.device', 'gpu', [/spec\.router\.device/, /supported values: "cpu", "cuda"/]],
  ['an unknown look-ahead', 'spec.router.lookahead', 'on', [/spec\.router\.lookahead/, /supported values: "Off", "Single", "Nested"/]],
  ['no call ahead', 'spec.router.maxLookaheadCalls', 0, [/spec\.router\.maxLookaheadCalls/, /greater than or equal to 1/]],
  ['17 calls ahead', 'spec.router.maxLookaheadCalls', 17, [/spec\.router\.maxLookaheadCalls/, /less than or equal to 16/]],
  ['bodies of a few bytes', 'spec.router.limits.maxBodyBytes', 10, [/spec\.router\.limits\.maxBodyBytes/, /greater than or equal to 1024/]],
  ['no request at all', 'spec.router.limits.maxConcurrentRequests', 0, [/spec\.router\.limits\.maxConcurrentRequests/, /equal to 1/]],
  ['blocks of no token', 'spec.router.maxDraftTokens', 0, [/spec\.router\.maxDraftTokens/, /greater than or equal to 1/]],
  ['blocks of 65 tokens', 'spec.router.maxDraftTokens', 65, [/spec\.router\.maxDraftTokens/, /less than or equal to 64/]],
  [
    'an unknown fallback',
    'spec.router.onLLMUnavailable',
    'Retry',
    [/spec\.router\.onLLMUnavailable/, /supported values: "UseSLM", "Wait", "Fail"/],
  ],
  ['no patience at all', 'spec.router.llmTimeoutSeconds', 0, [/spec\.router\.llmTimeoutSeconds/, /greater than or equal to 1/]],
  ['a model name with a space', 'spec.router.modelName', 'my model', [/spec\.router\.modelName/, /only letters, digits and/]],
  [
    'an unknown Service type',
    'spec.api.service.type',
    'ExternalName',
    [/spec\.api\.service\.type/, /supported values: "ClusterIP", "NodePort", "LoadBalancer"/],
  ],
  ['int8 on a GPU', 'spec.router', { precision: 'int8', device: 'cuda' }, [/spec\.router/, /precision: a GPU does not compute in int8/]],
  [
    'a Secret in another namespace',
    'spec.api.auth',
    { secretName: 'other/clients' },
    [/spec\.api\.auth\.secretName/, /Secret in the same namespace/],
  ],
  ['authentication without a Secret', 'spec.api.auth', {}, [/spec\.api\.auth\.secretName: Required value/]],
  ['a TLS Secret in upper case', 'spec.api.tls', { secretName: 'Pair' }, [/spec\.api\.tls\.secretName/, /lower-case letters/]],
  ['a collector without a scheme', 'spec.api.tracing', { endpoint: 'collector:4318' }, [/spec\.api\.tracing\.endpoint/, /must be a URL/]],
  [
    'a password in an address',
    'spec.api.tracing',
    { endpoint: 'http://user:secret@collector:4318' },
    [/spec\.api\.tracing\.endpoint/, /without user, password or query/],
  ],
  [
    'a hub token without a key',
    'spec.router.checkpoint',
    { uri: 'hf://org/repo/a.pt@main', tokenSecretRef: { name: 'hub' } },
    [/tokenSecretRef\.key: Required value/],
  ],
  [
    'a hub token for a file',
    'spec.router.checkpoint',
    { uri: '/models/a.pt', tokenSecretRef: { name: 'hub', key: 'token' } },
    [/spec\.router\.checkpoint/, /tokenSecretRef: applies only to an hf:\/\/ address/],
  ],
  [
    'a monitoring namespace with a dot',
    'spec.networkPolicy.monitoringNamespace',
    'a.b',
    [/spec\.networkPolicy/, /must be a namespace name/],
  ],
];

describe('the API server, given a wrong R2RDeployment', function () {
  this.timeout(180_000);
  let server: ApiServer;
  let namespace: string;

  before(async () => {
    server = await apiServer();
    namespace = await server.namespace('wrong');
  });
  after(() => server.close());

  it('accepts the object the wrong ones are made from', async () => {
    const { status, body } = await server.send('POST', `${resourcePath(namespace)}?fieldValidation=Strict`, manifest('right', namespace));
    assert.equal(status, 201, body.message);
  });

  for (const [index, [sentence, path, value, expected]] of wrong.entries()) {
    it(`refuses ${sentence}, naming the field and the fix`, async () => {
      const object = manifest(`wrong-${index}`, namespace);
      set(object, path, value);
      const { status, body } = await server.send('POST', resourcePath(namespace), object);
      assert.equal(status, 422, `it was answered ${status}: ${body.message ?? ''}`);
      for (const pattern of expected) assert.match(body.message ?? '', pattern);
    });
  }

  it('tells all that is wrong at once', async () => {
    const object = manifest('all-wrong', namespace);
    set(object, 'spec.slm.tensorParallelSize', 2);
    set(object, 'spec.llm.model', 'hf://x/y');
    set(object, 'spec.router.strategy', 'slm');
    const { status, body } = await server.send('POST', resourcePath(namespace), object);
    assert.equal(status, 422);
    for (const pattern of [/tensorParallelSize/, /hf:\/\//, /threshold/]) assert.match(body.message ?? '', pattern);
  });

  it('refuses a misspelt field when asked to be strict, as kubectl asks', async () => {
    const object = manifest('misspelt', namespace);
    set(object, 'spec.llm.replica', 3);
    set(object, 'spec.slm.podTemplate.containers', []);
    const { status, body } = await server.send('POST', `${resourcePath(namespace)}?fieldValidation=Strict`, object);
    assert.equal(status, 400);
    assert.match(body.message ?? '', /unknown field "spec\.llm\.replica"/);
    assert.match(body.message ?? '', /unknown field "spec\.slm\.podTemplate\.containers"/);
  });
});
