import { parentPort, workerData } from 'node:worker_threads';
import { loadTokenizer } from '../../model/tokenizer-folder.ts';
import { ApiError } from '../errors.ts';
import { promptModel } from '../prompt.ts';
import { prepare } from './preparation.ts';
import type { PreparationJob, PreparationOutcome } from './preparer.ts';

/** The thread that prepares large requests; see preparer.ts. */
const model = promptModel(await loadTokenizer((workerData as { readonly modelPath: string }).modelPath));

function outcomeOf({ route, body, facts }: PreparationJob): PreparationOutcome {
  try {
    const prepared = prepare(route, body, model, facts);
    return { prepared: { ...prepared, prompts: prepared.prompts.map((prompt) => ({ ...prompt, ids: Int32Array.from(prompt.ids) })) } };
  } catch (error) {
    if (error instanceof ApiError) return { refusal: { code: error.code, message: error.message, param: error.param } };
    return { failure: error instanceof Error ? (error.stack ?? error.message) : String(error) };
  }
}

parentPort?.on('message', (job: PreparationJob) => parentPort?.postMessage({ id: job.id, outcome: outcomeOf(job) }));
