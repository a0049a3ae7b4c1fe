import assert from 'node:assert/strict';
import { judgeServer } from '../../src/router/server-requirements.ts';
import { ask, complete, post, type Chunk } from './chat-client.ts';
import { distribution } from './scripted-models.ts';
import { neuralConfig, scriptedNetwork, states } from './scripted-network.ts';
import { say, stage, until, type Stage, type StageOptions } from './stage.ts';
import { vocabulary } from './model-folder.ts';

const fine = { version: '0.5.23', enable_return_hidden_states: true, return_hidden_states_mode: 'full', preferred_sampling_params: null };

describe('what a model server must be', () => {
  const refused: [what: string, info: object, hiddenStates: boolean, message: RegExp | undefined][] = [
    ['the version that was recorded', {}, true, undefined],
    ['the oldest', { version: '0.5.17' }, true, undefined],
    ['a later minor version', { version: '0.6.0rc1' }, true, undefined],
    ['a later major version', { version: '1.0' }, true, undefined],
    ['one below the oldest', { version: '0.5.16.post2' }, true, /SGLang 0\.5\.16.*use 0\.5\.17 or later/],
    ['an old minor version', { version: 'v0.4.99' }, false, /SGLang 0\.4\.99/],
    ['hidden states off', { enable_return_hidden_states: false, return_hidden_states_mode: 'off' }, true, /--enable-return-hidden-states/],
    ['hidden states off where nobody asks', { enable_return_hidden_states: false, return_hidden_states_mode: 'off' }, false, undefined],
    ['a mode that refuses lists', { return_hidden_states_mode: 'last' }, true, /--enable-return-hidden-states/],
    ['only the older flag', { return_hidden_states_mode: null }, true, undefined],
    ['no prefix cache', { disable_radix_cache: true }, false, /--disable-radix-cache/],
    ['an embedding server', { is_embedding: true }, false, /--is-embedding/],
    ['half of a disaggregated pair', { disaggregation_mode: 'decode' }, false, /--disaggregation-mode/],
    ['no disaggregation, as SGLang says it', { disaggregation_mode: 'null' }, false, undefined],
    ['sampling of its own', { preferred_sampling_params: '{"repetition_penalty": 1.1}' }, false, /--preferred-sampling-params/],
    ['sampling of its own, parsed', { preferred_sampling_params: { top_k: 3 } }, false, /--preferred-sampling-params/],
  ];
  for (const [what, info, hiddenStates, message] of refused) {
    it(`${message ? 'refuses' : 'takes'} ${what}`, () => {
      const { refusals } = judgeServer({ ...fine, ...info }, { hiddenStates });
      if (message) assert.match(refusals.join(), message);
      else assert.deepEqual(refusals, []);
      assert.ok(refusals.length <= 1);
    });
  }

  it('takes a server that says nothing of itself, and says what it could not see or what makes it slow', () => {
    assert.deepEqual(judgeServer({ preferred_sampling_params: undefined }, { hiddenStates: true }).refusals, []);
    for (const version of [undefined, null, '', 'main', '0.0.0.dev1+g1234'])
      assert.match(judgeServer({ ...fine, version }, { hiddenStates: true }).warnings.join(), /does not say its SGLang version/);
    const { refusals, warnings } = judgeServer({ ...fine, page_size: 64, dp_size: 2 }, { hiddenStates: true });
    assert.deepEqual([refusals, warnings.length], [[], 2]);
  });
});

describe('a router before model servers that are started otherwise than they must be', function () {
  this.timeout(60_000);
  const open: Stage[] = [];
  const on = async (options: StageOptions): Promise<Stage> => {
    const made = await stage(options);
    open.push(made);
    return made;
  };
  afterEach(async () => {
    for (const made of open.splice(0)) await made.close();
  });
  const neural = (state: Float32Array = states.plain): StageOptions => ({
    lines: [],
    config: neuralConfig,
    router: { loadNetwork: scriptedNetwork() },
    slm: {
      next: (prefix) => {
        const id = prefix.at(-1) === 104 ? vocabulary.end : 104;
        return { id, top: distribution(id, 0.9), hidden: state };
      },
    },
  });

  it('refuses an SLM server that is too old, says why, and takes it once it was started right', async () => {
    const errors: unknown[] = [];
    const log = {
      info: () => undefined,
      warn: () => undefined,
      error: (fields: object) => {
        if ('problem' in fields) errors.push(fields);
      },
    };
    const made = await on({ lines: say('ok'), router: { log } });
    await until(() => made.router.readiness().ready, 'ready');
    made.slm.behaviour.ready = false;
    await until(() => !made.router.readiness().ready, 'the server is seen ending');
    made.slm.behaviour.info = { version: '0.5.9' };
    made.slm.behaviour.ready = true;
    await until(() => /0\.5\.9/.test(made.router.readiness().waitingFor.join()), 'it is refused');
    assert.deepEqual(made.router.status().waitingFor, [
      'the SLM server (it runs SGLang 0.5.9, whose hidden states can be of another request; use 0.5.17 or later)',
    ]);
    const calls = made.slm.calls.length;
    const response = await post(made.router.url, ask);
    const { error } = (await response.json()) as Chunk;
    assert.deepEqual([response.status, error?.code], [503, 'not_ready']);
    assert.match(error?.message ?? '', /use 0\.5\.17 or later/);
    assert.equal(made.slm.calls.length, calls, 'it was asked for no token');
    const asked = made.slm.paths.filter((path) => path === '/server_info').length;
    await until(() => made.slm.paths.filter((path) => path === '/server_info').length > asked + 1, 'it is looked at again');
    assert.equal(errors.length, 1, 'told once');
    made.slm.behaviour.info = {};
    await until(() => made.router.readiness().ready, 'it was started right');
    assert.equal((await complete(made.router.url)).choices[0]?.message.content, 'ok');
  });

  it('sends no call to an LLM replica that is too old, and says so in its status', async () => {
    const made = await on({ lines: [{ id: 99, unsure: true, llm: 98 }], llms: 2, config: { onLLMUnavailable: 'Fail' } });
    made.llms[0]!.behaviour.info = { version: '0.5.16' };
    made.endpoints.set([]);
    made.endpoints.set(made.llms.map(({ url }, index) => ({ url, podUID: `new-${index}`, ready: true })));
    const endpoint = (index: number) => made.router.status().llmEndpoints[index];
    await until(() => endpoint(0)?.problem !== undefined && endpoint(1)!.ready, 'one is refused, the other is not');
    assert.match(endpoint(0)?.problem ?? '', /it runs SGLang 0\.5\.16/);
    assert.deepEqual([endpoint(0)?.ready, endpoint(1)?.problem], [false, undefined]);
    made.endpoints.set([{ url: made.llms[0]!.url, podUID: 'new-0', ready: true }]);
    assert.match(made.router.readiness().waitingFor.join('; '), /an LLM replica that takes calls \(http:.*: it runs SGLang 0\.5\.16/);
    assert.equal(made.llms[0]!.calls.length, 0);
    made.llms[0]!.behaviour.info = {};
    await until(() => endpoint(0)?.ready === true, 'it was started right');
    assert.equal(endpoint(0)?.problem, undefined);
  });

  it('asks for two tokens with all that the router network needs before it is ready, once a start', async () => {
    const made = await on(neural());
    await until(() => made.router.readiness().ready, 'ready');
    const [test] = made.slm.calls;
    assert.deepEqual(
      [made.slm.calls.length, test?.sampling_params.max_new_tokens, test?.return_hidden_states, test?.top_logprobs_num],
      [1, 2, true, 100],
    );
    assert.equal((await complete(made.router.url)).choices[0]?.message.content, 'h');
    made.configure({ maxDraftTokens: 4 });
    made.slm.behaviour.ready = false;
    await until(() => !made.router.readiness().ready, 'the server is seen ending');
    const before = made.slm.calls.length;
    made.slm.behaviour.ready = true;
    await until(() => made.router.readiness().ready, 'ready again');
    assert.equal(made.slm.calls.length, before + 1);
  });

  it('asks when a configuration that needs hidden states comes into force', async () => {
    const made = await on({ ...neural(), config: { strategy: 'slm' } });
    made.slm.behaviour.info = { enable_return_hidden_states: false, return_hidden_states_mode: 'off' };
    await until(() => made.router.readiness().ready, 'ready, since nobody looks at hidden states');
    made.configure(neuralConfig);
    await until(() => /--enable-return-hidden-states/.test(made.router.readiness().waitingFor.join()), 'now they are missed');
    made.configure({ strategy: 'slm', threshold: undefined, checkpoint: undefined });
    await until(() => made.router.readiness().ready, 'ready again without');
  });

  const failures: [how: string, break_: (made: Stage) => void, options: StageOptions, message: RegExp][] = [
    [
      'returns states of another size',
      () => undefined,
      neural(Float32Array.of(1, 2, 3)),
      /its hidden states have 3 values, the router network takes 4; serve the SLM that the checkpoint was trained for/,
    ],
    [
      'refuses to return hidden states without having said so',
      ({ slm }) => {
        slm.behaviour.intercept = (_, response) => Boolean(response.writeHead(400).end('{"error":{"message":"at /secret/path"}}'));
      },
      neural(),
      /it refuses to return hidden states.*--enable-return-hidden-states/,
    ],
    [
      'leaves a row out',
      ({ slm }) => {
        slm.behaviour.damage = (answer) => {
          answer.meta_info.hidden_states?.pop();
          return answer;
        };
      },
      neural(),
      /its answer with hidden states and 100 log-probabilities is malformed/,
    ],
  ];
  for (const [how, breakIt, options, message] of failures) {
    it(`is not ready for a network while the SLM server ${how}`, async () => {
      const made = await on(options);
      breakIt(made);
      await until(() => message.test(made.router.readiness().waitingFor.join()), 'it is said');
      assert.equal((await post(made.router.url, ask)).status, 503);
      assert.doesNotMatch(made.router.readiness().waitingFor.join(), /secret/);
    });
  }
});
