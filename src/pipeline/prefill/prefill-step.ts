import { randomUUID } from 'node:crypto';
import { openRowTable } from '../../model/row-table.ts';
import { loadSlmConfig, type SlmConfig } from '../../model/slm-config.ts';
import { PipelineError } from '../errors.ts';
import { isMismatch } from '../mismatch.ts';
import { shapeMetadata } from '../prefill-shape.ts';
import { prefillParamsSchema, type PrefillParams } from '../params.ts';
import type { StepDefinition, StepWork } from '../step.ts';
import { prefillTable, responsesTable, type ResponseRow } from '../tables.ts';
import { packIntegers, packVector } from '../vectors.ts';
import { forcedPass, type Segment } from './forced-pass.ts';
import { oncePerRun } from '../once-per-run.ts';
import { LogitRecovery } from './recovery.ts';
import { planPrefill, sequencesOf, tokensToRead } from './sequences.ts';
import { SpreadCheck } from './spread-check.ts';
import { thinkIdsOf, tokenTypes } from './token-types.ts';

/** What the SLM would say at each position of the responses: its token, the best entries of its raw logits, and its last hidden state. */
export const prefillStep: StepDefinition<PrefillParams> = {
  name: 'prefill',
  format: 1,
  params: prefillParamsSchema,
  inputs: ['respond'],
  engines: ['slm'],
  unit: 'tokens',
  // each of them has one call in flight
  openParts: ({ concurrency }) => concurrency,
  async check(work) {
    const { disable_radix_cache: uncached } = await serverInfoOf(work);
    if (uncached) {
      const fix = 'start it without --disable-radix-cache: each segment of a response builds on those before it';
      throw new PipelineError('PIPELINE_PARAMS', "the SLM's server has no prefix cache", fix, { field: 'engines.slm' });
    }
    await checkLengths(work);
  },
  plan: async (work) => planPrefill(await sequencesOf(work)),
  async total(work, parts) {
    const wanted = new Set(parts.map(({ firstQuestion }) => firstQuestion));
    const sequences = await sequencesOf(work);
    return sequences.reduce((sum, each) => sum + (wanted.has(each.dataId) ? tokensToRead(each, work.params) : 0), 0);
  },
  async make({ firstQuestion }, work, output) {
    const { params, context, calls } = work;
    const { modelFolder, tokenizer } = calls.engine('slm');
    const model = await loadSlmConfig(modelFolder);
    const shape = {
      hiddenSize: model.hiddenSize,
      hiddenType: model.logitsType,
      topCount: Math.min(params.topCount, model.vocabSize),
    };
    const rows = await output.table('rows', prefillTable(shape), shapeMetadata(shape));
    const counts = { rows: 0, mismatches: 0, tokens: 0, skippedTooLong: 0 };
    const response = await responseOf(work, firstQuestion);
    const ids = [...Array.from(response.input_ids), ...Array.from(response.output_ids)];
    const count = tokensToRead({ tokens: ids.length }, params);
    if (ids.length > params.maxInputLength) return { ...counts, skippedTooLong: 1 };

    const think = thinkIdsOf(tokenizer, params);
    const types = tokenTypes(ids, response.input_ids.length, think);
    const firstRow = params.promptRows ? 0 : types.findIndex((type) => type > 0);
    const lmHead = await openRowTable(modelFolder, 'lm_head');
    try {
      const recovery = new LogitRecovery(lmHead, model.logitsType);
      const spreads = new SpreadCheck(modelFolder);
      for await (const segment of segmentsOf(ids.slice(0, count), work, shape.topCount)) {
        for (const [index, row] of segment.rows.entries()) {
          const at = segment.from + index;
          if (firstRow < 0 || at < firstRow) continue;
          checkWidth(row.hidden.length, model, modelFolder);
          const { logits, spread } = recovery.recover(row);
          spreads.add(spread, logits);
          const prediction = {
            data_id: firstQuestion,
            token_id: at,
            real_token: ids[at] ?? -1,
            next_token: ids[at + 1] ?? -1,
            token_type: types[at] ?? 0,
            slm_token: row.top.ids[0] ?? -1,
          };
          await rows.append({
            ...prediction,
            top_logits: packVector(logits, 'float32'),
            top_ids: packIntegers(row.top.ids),
            hidden: packVector(row.hidden, shape.hiddenType),
          });
          counts.rows++;
          if (isMismatch(prediction, think.end)) counts.mismatches++;
        }
        counts.tokens += segment.rows.length;
        context.progress.advance(segment.rows.length, { tokens: segment.rows.length });
      }
      spreads.conclude();
    } finally {
      await lmHead.close();
    }
    return counts;
  },
};

async function* segmentsOf(ids: readonly number[], work: StepWork<PrefillParams>, topLogprobs: number): AsyncGenerator<Segment> {
  const { page_size: pageSize } = await serverInfoOf(work);
  yield* forcedPass(ids, {
    segmentTokens: work.params.segmentTokens,
    topLogprobs,
    pageSize: pageSize ?? 1,
    prefill: (call) => work.calls.run('slm', ({ client }, timeoutMs, signal) => client.prefill({ ...call, timeoutMs }, signal)),
    newKey: randomUUID,
  });
}

const serverInfoOf = oncePerRun(({ calls }: StepWork<PrefillParams>) =>
  calls.run('slm', ({ client }, _, signal) => client.serverInfo(signal)),
);

/** The limit must be that of the parameters: rows may not depend on how a server was started. */
async function checkLengths(work: StepWork<PrefillParams>): Promise<void> {
  const { calls, params } = work;
  const limit = await calls.run('slm', ({ client }, _, signal) => client.contextLength(signal));
  if (limit === undefined) return;
  const tooLong = (await sequencesOf(work)).find((each) => tokensToRead(each, params) >= limit);
  if (!tooLong) return;
  const problem = `the response to ${tooLong.id} has ${tooLong.tokens} tokens with its prompt, and the SLM's server takes ${limit}`;
  const fix = `start it with a longer --context-length, or leave out what is longer by maxInputLength ${limit}`;
  throw new PipelineError('PIPELINE_PARAMS', problem, fix, { field: 'params.maxInputLength' });
}

async function responseOf({ inputs }: StepWork<PrefillParams>, dataId: number): Promise<ResponseRow> {
  for await (const row of inputs.of('respond').rows('finished', responsesTable, { from: dataId, to: dataId + 1 })) return row;
  throw new Error(`respond has no question ${dataId} any more`);
}

function checkWidth(width: number, { hiddenSize }: SlmConfig, modelFolder: string): void {
  if (width === hiddenSize) return;
  const problem = `the SLM's server gives hidden states of ${width} values, the model in ${modelFolder} has ${hiddenSize}`;
  throw new PipelineError('PIPELINE_MODEL', problem, 'let the server serve that model', { field: 'engines.slm' });
}
