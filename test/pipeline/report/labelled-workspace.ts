import { z } from 'zod';
import { constructStep } from '../../../src/pipeline/construct/construct-step.ts';
import { makeSpec, runStep } from '../../../src/pipeline/run-step.ts';
import type { StepInput } from '../../../src/pipeline/step-identity.ts';
import type { StepDefinition } from '../../../src/pipeline/step.ts';
import { continuationsTable, prefillTable, responsesTable, verdictsTable } from '../../../src/pipeline/tables.ts';
import { packIntegers, packVector } from '../../../src/pipeline/vectors.ts';
import { toyContext } from '../toy-steps.ts';
import { writeStep } from '../written-step.ts';

/** Tokens of a response. */
const length = 12;
const promptLength = 2;

/** Every fourth token is one that the SLM would say otherwise; verdicts go round. */
export const isMismatch = (position: number): boolean => position % 4 === 3;
export const verdictOf = (dataId: number, position: number): number => [0, 1, -1][(dataId + position) % 3] ?? 0;
export const tokenAt = (dataId: number, position: number): number => 100 * dataId + position;

/** A workspace with a label set of so many questions, and the steps that it was made of; texts name their places. @returns its hash */
export async function labelledWorkspace(folder: string, questions: number, params: object = {}): Promise<string> {
  const ids = Array.from({ length: questions }, (_, dataId) => dataId);
  const positions = Array.from({ length: length - 1 }, (_, index) => promptLength + index);
  const mismatches = positions.filter((position) => isMismatch(position + 1));
  const range = (dataId: number) => ({ firstQuestion: dataId, questions: 1 });
  const responses = (dataId: number) => ({
    ...{ data_id: dataId, id: `set/${dataId}`, input_text: '', model_reasoning: '', model_response: '', is_finished: true, finish: 'stop' },
    input_ids: Array.from({ length: promptLength }, (_, position) => tokenAt(dataId, position)),
    output_ids: Array.from({ length }, (_, index) => tokenAt(dataId, promptLength + index)),
    output_tokens: length,
  });
  const respond = await writeStep(
    folder,
    'respond',
    ids.map((id) => ({ ...range(id), tables: [{ name: 'finished', schema: responsesTable, rows: [responses(id)] }] })),
  );
  const prediction = (dataId: number, position: number) => ({
    ...{
      data_id: dataId,
      token_id: position,
      real_token: tokenAt(dataId, position),
      next_token: tokenAt(dataId, position + 1),
      token_type: 1,
    },
    slm_token: tokenAt(dataId, position + 1) + (isMismatch(position + 1) ? 50 : 0),
    top_logits: packVector(Float32Array.from([5, 4, 3, 2, 1]), 'float32'),
    top_ids: packIntegers(Int32Array.from([tokenAt(dataId, position + 1) + (isMismatch(position + 1) ? 50 : 0), 1, 2, 3, 4])),
    hidden: packVector(Float32Array.from([1, 2]), 'float32'),
  });
  const prefill = await writeStep(
    folder,
    'prefill',
    ids.map((id) => ({
      ...range(id),
      tables: [
        {
          name: 'rows',
          schema: prefillTable({ hiddenSize: 2, hiddenType: 'float32', topCount: 5 }),
          rows: positions.map((position) => prediction(id, position)),
          metadata: { 'r2r.hidden_size': '2', 'r2r.hidden_type': 'float32', 'r2r.top_count': '5' },
        },
      ],
      counts: { rows: positions.length, mismatches: mismatches.length },
    })),
  );
  const continuation = (dataId: number, position: number) => ({
    ...{ data_id: dataId, token_id: position, real_token: tokenAt(dataId, position), real_text: '<<a>>' },
    ...{ pred_small_token: tokenAt(dataId, position) + 50, pred_small_text: '<<b>>', small_output_ids: [], small_finish: 'stop' },
    common_context: `context ${dataId}/${position}\nline two \u001b[31m`,
    reference_diverge_text: `LLM <<says>> ${dataId}/${position}`,
    small_diverge_text: `SLM <<says>> ${dataId}/${position}`,
  });
  const continued = await writeStep(
    folder,
    'continue',
    ids.map((id) => ({
      ...range(id),
      tables: [{ name: 'continuations', schema: continuationsTable, rows: mismatches.map((position) => continuation(id, position + 1)) }],
    })),
  );
  const verify = await writeVerdicts(
    folder,
    continued,
    ids,
    mismatches.map((position) => position + 1),
  );
  const made = await runStep(
    constructStep,
    makeSpec(constructStep, params, { respond, prefill, verify }),
    toyContext({ folder, count: 0 }),
  );
  if (!made.sealed) throw new Error('one shard makes all parts');
  return made.manifest.hash;
}

async function writeVerdicts(
  folder: string,
  continued: StepInput,
  ids: readonly number[],
  positions: readonly number[],
): Promise<StepInput> {
  const definition: StepDefinition<object> = {
    ...{ name: 'verify', format: 1, params: z.strictObject({}), inputs: ['continue'], engines: [], unit: 'mismatches', openParts: () => 1 },
    plan: () => Promise.resolve(ids.map((id) => ({ name: `part-${id}`, firstQuestion: id, questions: 1, tables: ['verdicts'] }))),
    total: () => Promise.resolve(0),
    async make({ firstQuestion: dataId }, _, output) {
      const writer = await output.table('verdicts', verdictsTable);
      for (const position of positions) {
        const divergent = verdictOf(dataId, position);
        const words = divergent < 0 ? 'I cannot say' : String(divergent);
        await writer.append({ data_id: dataId, token_id: position, divergent, verify_response: words, attempts: divergent < 0 ? 3 : 1 });
      }
      return {};
    },
  };
  const made = await runStep(definition, makeSpec(definition, {}, { continue: continued }), toyContext({ folder, count: 0 }));
  if (!made.sealed) throw new Error('one shard makes all parts');
  return { hash: made.manifest.hash, digest: made.manifest.digest };
}
