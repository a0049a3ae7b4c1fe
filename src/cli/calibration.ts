import { EngineError, SglangClient, type GenerateAnswer } from '../sglang/index.ts';
import type { RunningEngine } from '../engine/server.ts';
import type { CalibrationRow } from '../model/import-bundle-comparison.ts';
import { openWeights } from '../model/safetensors.ts';
import { loadSlmConfig } from '../model/slm-config.ts';
import { loadTokenizer } from '../model/tokenizer-folder.ts';
import type { Tokenizer } from '../model/tokenizer.ts';
import { calibrationPrompt } from './calibration-prompts.ts';

/** Parameters up to which our CPU engine drafts the rows in seconds. */
export const ownEngineMaxParameters = 20_000_000;

const tokensPerPrompt = 64;
const promptsAtOnce = 4;
const callTimeoutMs = 120_000;

export interface CalibrationOptions {
  readonly slmFolder: string;
  /** Rows wanted. */
  readonly rows: number;
  /** A server of the SLM; absent: our own engine is started for as long as rows are drafted. */
  readonly slmUrl?: string | undefined;
}

/** Whether rows can be had without a server: the SLM is small enough for our own engine. @throws ModelError */
export async function canDraftHere(slmFolder: string): Promise<boolean> {
  return (await openWeights(slmFolder)).parameterCount <= ownEngineMaxParameters;
}

/**
 * Drafts rows greedily on the SLM, from prompts of our own.
 *
 * @throws EngineError when the server does not answer, or not with hidden states; ModelError, EngineStartError; the signal's reason
 */
export async function* draftRows(
  { slmFolder, rows, slmUrl }: CalibrationOptions,
  logprobs: number,
  signal?: AbortSignal,
): AsyncGenerator<CalibrationRow> {
  const [{ vocabSize }, tokenizer] = await Promise.all([loadSlmConfig(slmFolder), loadTokenizer(slmFolder)]);
  const died = new AbortController();
  const engine = slmUrl === undefined ? await startOwnEngine(slmFolder, (error) => died.abort(error)) : undefined;
  const client = new SglangClient({ url: slmUrl ?? engine?.url ?? '', vocabSize });
  const either = AbortSignal.any(signal ? [signal, died.signal] : [died.signal]);
  try {
    const limit = (await client.contextLength(either)) ?? Infinity;
    let left = rows;
    // every prompt gives a row at the least, so this ends
    for (let first = 0; left > 0; first += promptsAtOnce) {
      const prompts = Array.from({ length: promptsAtOnce }, (_, at) => promptIds(tokenizer, calibrationPrompt(first + at)));
      const drafts = prompts.map((ids) => draft(client, ids, Math.min(tokensPerPrompt, limit - ids.length), logprobs, either));
      for (const row of (await Promise.all(drafts)).flatMap((answer) => rowsOf(answer, client.url)).slice(0, left)) {
        yield row;
        left--;
      }
    }
  } finally {
    await client.destroy();
    await engine?.close();
  }
}

/** Loads the engine's code only now: most imports need none of it. */
async function startOwnEngine(modelPath: string, onDeath: (error: Error) => void): Promise<RunningEngine> {
  const { startEngine } = await import('../engine/server.ts');
  return startEngine({ modelPath, host: '127.0.0.1', port: 0, returnHiddenStates: true }, onDeath);
}

/** A prompt as the SLM sees it in use: through its chat template, where it has one. */
function promptIds(tokenizer: Tokenizer, text: string): number[] {
  try {
    return tokenizer.encode(tokenizer.applyChatTemplate([{ role: 'user', content: text }]));
  } catch {
    return tokenizer.encode(text, { addSpecialTokens: true });
  }
}

function draft(client: SglangClient, ids: number[], maxNewTokens: number, logprobs: number, signal: AbortSignal): Promise<GenerateAnswer> {
  if (maxNewTokens < 1) throw new EngineError('invalid_call', client.url, `its context has no room for a prompt of ${ids.length} tokens`);
  return client.generate({ ids, maxNewTokens, topLogprobs: logprobs, hiddenStates: true, timeoutMs: callTimeoutMs }, signal);
}

function rowsOf({ tokens }: GenerateAnswer, url: string): CalibrationRow[] {
  return tokens.map(({ id, hidden, top }) => {
    if (!hidden || !top) throw new EngineError('malformed', url, 'answer to /generate: it lacks hidden states or log-probabilities');
    return { id, hidden, topIds: top.ids, logprobs: top.logprobs };
  });
}
