import { z } from 'zod';
import type { JsonValue } from '../step-identity.ts';
import type { PartJournal, PartPlan, StepWork } from '../step.ts';
import type { ContinueParams } from '../params.ts';
import { responsesTable } from '../tables.ts';
import { branchSchema, type BranchRule, type GenerateTokens } from './branches.ts';
import { predictionsOf } from './predictions.ts';
import { readAlong, type Parting } from './read-along.ts';

/** A response that the SLM wrote. */
export interface SlmText {
  readonly dataId: number;
  /** Prompt and response. */
  readonly ids: readonly number[];
  readonly promptTokens: number;
  /** Positions of tokens inside or after the reasoning that the SLM says again when it reads its text. */
  readonly own: ReadonlySet<number>;
}

const partingsSchema = z.array(z.object({ position: z.int(), token: z.int(), real: branchSchema, small: branchSchema }));

/** The responses of a part, but for those that are too long. */
export async function readSlmTexts(
  { firstQuestion, questions }: PartPlan,
  { params, inputs }: StepWork<ContinueParams>,
): Promise<{ readonly texts: readonly SlmText[]; readonly tooLong: number }> {
  const range = { from: firstQuestion, to: firstQuestion + questions };
  const own = new Map<number, Set<number>>();
  for await (const row of predictionsOf(inputs.of('prefill'), range)) {
    if (row.token_type === 0 || row.slm_token !== row.next_token) continue;
    const positions = own.get(row.data_id) ?? new Set();
    own.set(row.data_id, positions.add(row.token_id + 1));
  }
  const texts: SlmText[] = [];
  let tooLong = 0;
  const columns = ['data_id', 'input_ids', 'output_ids'] as const;
  for await (const row of inputs.of('respond').rows('finished', responsesTable, { ...range, columns })) {
    const ids = [...Array.from(row.input_ids), ...Array.from(row.output_ids)];
    const positions = own.get(row.data_id);
    if (ids.length > params.maxTokens) tooLong++;
    else if (positions) texts.push({ dataId: row.data_id, ids, promptTokens: row.input_ids.length, own: positions });
  }
  return { texts, tooLong };
}

/** Where the LLM parts from each text, the prompt's tokens and the end of its thinking left out; kept in the journal text by text. */
export async function partingsOf(
  texts: readonly SlmText[],
  { params, calls, context }: StepWork<ContinueParams>,
  { rule, contextLength }: { readonly rule: BranchRule; readonly contextLength: number },
  journal: PartJournal,
): Promise<ReadonlyMap<number, readonly Parting[]>> {
  const generate: GenerateTokens = async (ids, maxNewTokens) => {
    const { tokens, finish } = await calls.generate('llm', { ids, maxNewTokens, stopTokenIds: [...rule.stops] });
    return { ids: tokens.map(({ id }) => id), stopped: finish === 'stop' };
  };
  const thinkEnd = calls.engine('llm').tokenizer.tokenToId.get(params.thinkEnd);
  const found = await Promise.all(
    texts.map(async ({ dataId, ids, promptTokens, own }) => {
      const key = String(dataId);
      if (journal.get(key) === undefined) {
        const partings = await readAlong(ids, promptTokens, { room: contextLength, maxTokens: params.maxNewTokens, rule }, generate);
        await journal.record(key, partings as unknown as JsonValue);
        context.progress.advance(1, { tokens: partings.reduce((sum, { small }) => sum + small.ids.length, 0) });
      } else context.progress.resume(1);
      const all = partingsSchema.parse(journal.get(key));
      return [dataId, all.filter(({ position, token }) => own.has(position) && token !== thinkEnd)] as const;
    }),
  );
  return new Map(found);
}
