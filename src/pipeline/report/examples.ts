import type { StepReader } from '../step.ts';
import { continuationsTable, prefillTable, responsesTable, verdictsTable, type ContinuationRow, type VerdictRow } from '../tables.ts';
import type { LabelClass } from './distribution.ts';
import type { LabelChain } from './label-chain.ts';
import { writerOf } from '../writer.ts';
import { Sample, type Place } from './samples.ts';

/** A labelled token with what a person needs to judge the label. */
export interface Example {
  readonly label: LabelClass;
  /** Of the question. */
  readonly id: string;
  readonly dataId: number;
  /** Position of the token in prompt and response together. */
  readonly tokenId: number;
  /** What both say before it. */
  readonly context: string;
  readonly llmToken: number;
  readonly slmToken: number;
  /** How the LLM goes on, its token between << and >>; of identical tokens the token alone. */
  readonly llmText: string;
  readonly slmText: string;
  /** The verifier's last words; '' where it was not asked. */
  readonly verdict: string;
  /** How often it was asked. */
  readonly attempts: number;
}

export type Examples = Readonly<Record<LabelClass, readonly Example[]>>;

export interface ExamplesOptions {
  /** Of each class. @default 20 */
  readonly count?: number;
  /** Another one gives others. @default 42 */
  readonly seed?: number;
  /** Text of token ids, special tokens included; without it identical tokens are shown by their numbers. */
  readonly decode?: (ids: readonly number[]) => string;
}

/** Tokens before an identical one that are shown. */
const contextTokens = 60;
/** None of these is read for its vectors. */
const anyShape = { hiddenSize: 1, hiddenType: 'float32', topCount: 1 } as const;

/** Examples of each class, drawn by chance. Memory: the examples; the verdicts are read once, and no more responses than examples. */
export async function examplesOf(chain: LabelChain, { count = 20, seed = 42, decode }: ExamplesOptions = {}): Promise<Examples> {
  const { minDataId: from = 0, maxDataId = Infinity, finalMaxTokenId = Infinity } = chain.params;
  const drawn = {
    neutral: new Sample<VerdictRow>(count, seed),
    divergent: new Sample<VerdictRow>(count, seed),
    unknown: new Sample<VerdictRow>(count, seed),
  };
  for await (const row of chain.verify.rows('verdicts', verdictsTable, { from, to: maxDataId + 1 })) {
    // a label is of the row before, which predicted the token
    if (row.token_id - 1 > finalMaxTokenId) continue;
    drawn[row.divergent === 1 ? 'divergent' : row.divergent === 0 ? 'neutral' : 'unknown'].offer(`${row.data_id}/${row.token_id}`, row);
  }
  const mismatches = async (label: 'neutral' | 'divergent' | 'unknown'): Promise<readonly Example[]> => {
    const found: Example[] = [];
    for (const verdict of drawn[label].items) {
      const row = await continuationAt(chain.continuations, verdict);
      if (row) found.push({ label, id: await idOf(chain.respond, verdict.data_id), ...mismatch(row, verdict) });
    }
    return found;
  };
  return {
    identical: await identicalTokens(chain, { count, seed, from, to: maxDataId + 1, finalMaxTokenId, decode }),
    neutral: await mismatches('neutral'),
    divergent: await mismatches('divergent'),
    unknown: await mismatches('unknown'),
  };
}

function mismatch(row: ContinuationRow, { verify_response: verdict, attempts }: VerdictRow): Omit<Example, 'label' | 'id'> {
  return {
    dataId: row.data_id,
    tokenId: row.token_id,
    context: row.common_context,
    llmToken: row.real_token,
    slmToken: row.pred_small_token,
    llmText: row.reference_diverge_text,
    slmText: row.small_diverge_text,
    verdict,
    attempts,
  };
}

async function continuationAt(reader: StepReader, { data_id: from, token_id }: VerdictRow): Promise<ContinuationRow | undefined> {
  for await (const row of reader.rows('continuations', continuationsTable, { from, to: from + 1 }))
    if (row.token_id === token_id) return row;
  return undefined;
}

async function idOf(respond: StepReader, from: number): Promise<string> {
  for await (const { id } of respond.rows('finished', responsesTable, { from, to: from + 1, columns: ['id'] })) return id;
  return '';
}

interface IdenticalOptions {
  readonly count: number;
  readonly seed: number;
  readonly from: number;
  readonly to: number;
  readonly finalMaxTokenId: number;
  readonly decode: ExamplesOptions['decode'];
}

/** Of some questions only: predictions of all are the largest thing in a workspace. */
async function identicalTokens({ prefill, respond, verify }: LabelChain, options: IdenticalOptions): Promise<readonly Example[]> {
  const { count, seed, from, to, finalMaxTokenId, decode } = options;
  const questions = new Sample<number>(count, seed);
  for (const { firstQuestion } of prefill.parts(from, to)) questions.offer(String(firstQuestion), firstQuestion);
  const each = Math.ceil(count / Math.max(1, questions.items.length));
  const places = new Sample<Place & { readonly token: number }>(count, seed);
  const columns = ['token_id', 'next_token', 'slm_token', 'token_type'] as const;
  for (const dataId of questions.items) {
    const own = new Sample<Place & { readonly token: number }>(each, seed);
    // in a text that the SLM wrote it always says what is there
    const judged = new Set<number>();
    if (writerOf(respond) === 'slm')
      for await (const { token_id: at } of verify.rows('verdicts', verdictsTable, { from: dataId, to: dataId + 1, columns: ['token_id'] }))
        judged.add(at);
    const rows = prefill.rows('rows', prefillTable(anyShape), { from: dataId, to: dataId + 1, columns: [...columns] });
    for await (const { token_id, next_token: token, slm_token, token_type } of rows)
      if (token === slm_token && token_type > 0 && token_id <= finalMaxTokenId && !judged.has(token_id + 1))
        own.offer(`${dataId}/${token_id}`, { dataId, tokenId: token_id + 1, token });
    for (const place of own.items) places.offer(`${dataId}/${place.tokenId}`, place);
  }
  const examples: Example[] = [];
  for (const { dataId, tokenId, token } of places.items) {
    const columnsOfText = decode ? (['id', 'input_ids', 'output_ids'] as const) : (['id'] as const);
    for await (const row of respond.rows('finished', responsesTable, { from: dataId, to: dataId + 1, columns: [...columnsOfText] })) {
      const context = decode
        ? decode([...Array.from(row.input_ids), ...Array.from(row.output_ids)].slice(Math.max(0, tokenId - contextTokens), tokenId))
        : '';
      const text = decode ? decode([token]) : `token ${token}`;
      const tokens = { llmToken: token, slmToken: token, llmText: text, slmText: text };
      examples.push({ label: 'identical', id: row.id, dataId, tokenId, context, ...tokens, verdict: '', attempts: 0 });
    }
  }
  return examples;
}
