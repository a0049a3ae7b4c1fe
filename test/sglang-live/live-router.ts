import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { importCheckpoint } from '../../src/model/import-bundle.ts';
import { loadTokenizer } from '../../src/model/tokenizer-folder.ts';
import type { Tokenizer } from '../../src/model/tokenizer.ts';
import type { RouterOptions } from '../../src/router/index.ts';
import type { Sampling } from '../../src/router/sampler.ts';
import { openScoring, plainScorer, type Scoring } from '../../src/router/scoring/index.ts';
import { SglangClient } from '../../src/sglang/index.ts';
import type { Piece } from '../router/chat-client.ts';
import { until } from '../router/stage.ts';
import { startTinyRouter, tinyModels, type TinyRouter } from '../router/tiny-pair.ts';
import { liveServers, type LivePair } from './servers.ts';
import { Teacher, type Difference, type TaughtRouting } from './teacher.ts';

export const checkpoint = join(import.meta.dirname, '../../examples/models/router/router.pt');
export const entropyThreshold = 0.45;

export const problems = readFileSync(tinyModels.problems, 'utf8')
  .trim()
  .split('\n')
  .slice(0, 16)
  .map((line) => (JSON.parse(line) as { readonly question: string }).question);

export const greedy: Sampling = { temperature: 0, topP: 1, topK: 0, seed: 0, choice: 0 };
export const sampled: Sampling = { temperature: 0.8, topP: 0.95, topK: 40, seed: 1234, choice: 0 };

/** A router before real servers, with the trained network at hand, and what judges its answers. */
export interface LiveRouter extends TinyRouter, AsyncDisposable {
  readonly servers: LivePair;
  /** Clients of the test's own. */
  readonly slm: SglangClient;
  readonly llm: SglangClient;
  readonly tokenizer: Tokenizer;
  /** The checkpoint's own threshold. */
  readonly neuralThreshold: number;
  promptOf(question: string): readonly number[];
  /** Differences of an answer from one-token-at-a-time routing. */
  judge(strategy: 'neural' | 'entropy', sampling: Sampling, question: string, answer: readonly Piece[]): Promise<readonly Difference[]>;
}

/** @param options e.g. other endpoints than the servers' own */
export async function startLiveRouter(options: (pair: LivePair) => Partial<RouterOptions> = () => ({})): Promise<LiveRouter> {
  const servers = await liveServers();
  const folder = await mkdtemp(join(tmpdir(), 'r2r-live-'));
  const bundleFolder = join(folder, 'bundle');
  const imported = {
    checkpointPath: checkpoint,
    slmFolder: tinyModels.slm,
    outFolder: bundleFolder,
    precisions: ['fp32'],
    source: 'test',
  } as const;
  await importCheckpoint(imported);
  const open = (): Promise<Scoring> =>
    openScoring({ bundleFolder, slmFolder: tinyModels.slm, precision: 'fp32', device: 'cpu', threads: 1 });
  const scoring = await open();
  const tokenizer = await loadTokenizer(tinyModels.slm);
  const client = (url: string): SglangClient => new SglangClient({ url, vocabSize: 480 });
  const [slm, llm] = [client(servers.slm.url), client(servers.llm.url)];
  const tiny = await startTinyRouter(servers.slm.url, servers.llm.url, { loadNetwork: open, ...options(servers) });
  tiny.configure({ checkpoint: { uri: bundleFolder }, precision: 'fp32' });
  await until(() => tiny.router.status().bundle?.state === 'Serving', 'the network is in force', 60_000);
  const neuralThreshold = scoring.manifest.threshold ?? 0.5;
  const teacher = new Teacher({ slm, llm }, Math.min(480, tokenizer.length));
  const promptOf = (content: string): readonly number[] => tokenizer.encode(tokenizer.applyChatTemplate([{ role: 'user', content }]));
  const taught: Record<'neural' | 'entropy', Omit<TaughtRouting, 'sampling'>> = {
    neural: { signal: 'probability', threshold: neuralThreshold, scorer: scoring.scorerFor(['probability']) },
    entropy: { signal: 'entropy', threshold: entropyThreshold, scorer: plainScorer(['entropy']) },
  };
  return {
    ...tiny,
    servers,
    slm,
    llm,
    tokenizer,
    neuralThreshold,
    promptOf,
    judge: (strategy, sampling, question, answer) => teacher.differences(promptOf(question), answer, { ...taught[strategy], sampling }),
    async [Symbol.asyncDispose]() {
      await tiny.router.stop();
      await Promise.all([slm.destroy(), llm.destroy(), scoring.close()]);
      await rm(folder, { recursive: true });
    },
  };
}

/** The fields of a chat request that ask for a routing and for each token's source. */
export function requestOf(
  question: string,
  strategy: 'neural' | 'entropy',
  { temperature, topP, topK, seed }: Sampling,
  more: object = {},
) {
  return {
    model: 'tiny',
    messages: [{ role: 'user', content: question }],
    temperature,
    top_p: topP,
    top_k: topK,
    seed,
    r2r: { tokens: true, strategy, ...(strategy === 'entropy' && { threshold: entropyThreshold }) },
    ...more,
  };
}
