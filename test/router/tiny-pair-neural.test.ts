import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { RouterStatus } from '../../src/api/router-status.ts';
import { networkFingerprint } from '../../src/cli/network-fingerprint.ts';
import { loadTokenizer } from '../../src/model/tokenizer-folder.ts';
import type { LoadNetwork } from '../../src/router/live-routing.ts';
import type { Sampling } from '../../src/router/sampler.ts';
import { openScoring, type Scoring } from '../../src/router/scoring/index.ts';
import { complete } from './chat-client.ts';
import { RealReference } from './real-reference.ts';
import { writeRandomBundle } from './scoring/random-bundle.ts';
import { until } from './stage.ts';
import { startTinyPair, tinyModels, type TinyPair } from './tiny-pair.ts';

interface Problem {
  readonly question: string;
}

const problems = readFileSync(tinyModels.problems, 'utf8')
  .trim()
  .split('\n')
  .slice(20, 24)
  .map((line) => JSON.parse(line) as Problem);

/** Bundles are folders here; how they are fetched and imported is another test's matter. */
const loadNetwork: LoadNetwork = ({ uri, precision, device }) =>
  openScoring({ bundleFolder: uri ?? '', slmFolder: tinyModels.slm, precision, device, threads: 1 });

const greedy = { temperature: 0, topP: 1, topK: 0, seed: 0 };
const sampled = { temperature: 0.8, topP: 0.95, topK: 40, seed: 1234 };
const maxTokens = 90;

describe('neural routing before two real models', function () {
  this.timeout(240_000);
  let folder: string;
  let pair: TinyPair;
  let scoring: Scoring;
  let real: RealReference;
  let threshold: number;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'r2r-neural-'));
    const network = { slmFolder: tinyModels.slm, precisions: ['fp32', 'int8'] } as const;
    await writeRandomBundle({ ...network, folder: join(folder, 'a'), hiddenDims: [64, 32] });
    await writeRandomBundle({ ...network, folder: join(folder, 'b'), hiddenDims: [32] });
    pair = await startTinyPair({ loadNetwork, networkFingerprint });
    scoring = await openScoring({
      bundleFolder: join(folder, 'a'),
      slmFolder: tinyModels.slm,
      precision: 'fp32',
      device: 'cpu',
      threads: 1,
    });
    real = new RealReference({ slmUrl: pair.slm.url, llmUrl: pair.llm.url, scoring });
    const tokenizer = await loadTokenizer(tinyModels.slm);
    // A random network says anything: a quarter of the SLM's tokens shall be divergent.
    const probabilities: number[] = [];
    for (const { question } of problems.slice(0, 2)) {
      const ids = tokenizer.encode(tokenizer.applyChatTemplate([{ role: 'user', content: question }]));
      for (const { id } of await real.answer({ question, maxTokens, strategy: 'slm' })) {
        probabilities.push((await real.signals(ids, id, ['probability'])).probability);
        ids.push(id);
      }
    }
    probabilities.sort((a, b) => a - b);
    threshold = probabilities[Math.floor(probabilities.length * 0.75)] ?? 0.5;
  });
  after(async () => {
    await real.close();
    await pair.close();
    await scoring.close();
    await rm(folder, { recursive: true });
  });

  const status = async (): Promise<RouterStatus> => (await (await fetch(`${pair.router.adminUrl}/r2r/status`)).json()) as RouterStatus;
  const serve = async (bundle: string, change: Parameters<TinyPair['configure']>[0] = {}): Promise<void> => {
    pair.configure({ strategy: 'neural', threshold, checkpoint: { uri: join(folder, bundle) }, precision: 'fp32', ...change });
    await until(async () => (await status()).bundle?.state !== 'Loading', 'the bundle is loaded or refused');
  };

  async function oneByOne(sampling: Omit<Sampling, 'choice'>): Promise<readonly [number, string][]> {
    const answers: [number, string][] = [];
    for (const { question } of problems) {
      const tokens = await real.answer({ question, maxTokens, strategy: 'neural', threshold, sampling });
      answers.push(...tokens.map(({ id, source }): [number, string] => [id, source]));
    }
    return answers;
  }

  async function routed({ temperature, topP, topK, seed }: Omit<Sampling, 'choice'>): Promise<[number, string][]> {
    const answers = await Promise.all(
      problems.map(({ question }) =>
        complete(pair.router.url, {
          model: 'tiny',
          messages: [{ role: 'user', content: question }],
          max_tokens: maxTokens,
          temperature,
          top_p: topP,
          top_k: topK,
          seed,
          r2r: { tokens: true },
        }),
      ),
    );
    return answers.flatMap(({ r2r }) => (r2r?.tokens ?? []).map(({ id, source }): [number, string] => [id, source]));
  }

  for (const [name, sampling] of [
    ['greedily', greedy],
    ['sampling', sampled],
  ] as const) {
    it(`answers as one token at a time would, ${name}, whatever the look-ahead and the block length, all conversations at once`, async () => {
      const expected = await oneByOne(sampling);
      const sources = new Set(expected.map(([, source]) => source));
      assert.equal(sources.size, 2, 'both models supply tokens');
      for (const lookahead of ['Off', 'Single', 'Nested'] as const) {
        for (const maxDraftTokens of [1, 8]) {
          await serve('a', { lookahead, maxDraftTokens, maxLookaheadCalls: 4 });
          assert.deepEqual(await routed(sampling), expected, `${lookahead}, blocks of up to ${maxDraftTokens}`);
        }
      }
    });
  }

  it('takes over another bundle without a restart while requests are answered, each by the bundle it began with', async () => {
    await serve('a');
    const { bundle: before } = await status();
    const old = await routed(greedy);
    const running = routed(greedy);
    await serve('b', { threshold: 0.5 });
    const { bundle: after, threshold: inForce } = await status();
    assert.notEqual(after?.digest, before?.digest);
    assert.deepEqual([after?.state, inForce], ['Serving', 0.5]);
    assert.deepEqual(await running, old);
    const { requests } = (await status()).window;
    assert.ok(requests && requests.total <= problems.length && requests.failed === 0, 'what the bundle before answered is not counted');
  });

  it("takes the checkpoint's own threshold when none is configured, and says so", async () => {
    await serve('b', { threshold: undefined });
    assert.equal((await status()).threshold, 0.5);
  });

  it('refuses a damaged bundle, says why, and goes on with the one before, whose threshold stays with it', async () => {
    await serve('a');
    const { bundle: before } = await status();
    const right = await routed(greedy);
    const file = join(folder, 'b', 'router-fp32.onnx');
    const whole = await readFile(file);
    await writeFile(file, whole.subarray(0, whole.length - 1));
    await serve('b', { threshold: 0.01, maxDraftTokens: 2 });
    await writeFile(file, whole);
    const { bundle, threshold: inForce, waitingFor } = await status();
    assert.equal(bundle?.state, 'Refused');
    assert.match(bundle.message ?? '', /router-fp32\.onnx/);
    assert.deepEqual([bundle.digest, inForce, waitingFor], [before?.digest, threshold, []]);
    assert.deepEqual(await routed(greedy), right);
  });

  it('keeps the threshold in force when a configuration takes it away and the checkpoint has none', async () => {
    const manifest = join(folder, 'b', 'bundle.json');
    const whole = await readFile(manifest, 'utf8');
    await writeFile(manifest, JSON.stringify({ ...(JSON.parse(whole) as object), threshold: null }));
    await serve('a');
    await serve('b', { threshold: 0.3 });
    await serve('b', { threshold: undefined, maxDraftTokens: 2 });
    const { bundle, threshold: inForce } = await status();
    assert.deepEqual([bundle?.state, inForce], ['Refused', 0.3]);
    assert.match(bundle?.message ?? '', /threshold/);
    await writeFile(manifest, whole);
    await until(async () => (await status()).threshold === 0.5, 'the bundle that changed where it lies is taken over');
    assert.equal((await status()).bundle?.state, 'Serving');
  });

  it('answers the probe of the operator through both models, and through the SLM alone', async () => {
    for (const viaLLM of [true, false]) {
      const response = await fetch(`${pair.router.adminUrl}/r2r/probe`, { method: 'POST', body: JSON.stringify({ viaLLM }) });
      const answer = (await response.json()) as { readonly ok: boolean; readonly sources: object };
      assert.deepEqual([response.status, answer.ok], [200, true]);
      assert.deepEqual(answer.sources, { slm: viaLLM ? 0 : 1, llm: viaLLM ? 1 : 0, fallback: 0 });
    }
    const wrong = await fetch(`${pair.router.adminUrl}/r2r/probe`, { method: 'POST', body: '{}' });
    assert.equal(wrong.status, 400);
  });
});
