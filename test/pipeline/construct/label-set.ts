import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { constructStep } from '../../../src/pipeline/construct/construct-step.ts';
import { makeSpec, runStep } from '../../../src/pipeline/run-step.ts';
import { FinishedStep } from '../../../src/pipeline/step-reader.ts';
import { labelsTable, prefillTable, responsesTable, verdictsTable, type LabelRow, type PrefillRow } from '../../../src/pipeline/tables.ts';
import { packIntegers, packVector } from '../../../src/pipeline/vectors.ts';
import type { StepManifest } from '../../../src/pipeline/workspace/manifest.ts';
import { Workspace } from '../../../src/pipeline/workspace/workspace.ts';
import { toyContext } from '../toy-steps.ts';
import { writeStep } from '../written-step.ts';

export const shape = { hiddenSize: 6, hiddenType: 'bfloat16', topCount: 5 } as const;

/** A position: what the SLM says of the next token there, and the verdict on it. */
export interface Position {
  readonly tokenId: number;
  /** The token at the position. */
  readonly real: number;
  readonly next: number;
  readonly slm: number;
  readonly type?: number;
  /** Where the SLM says something else. */
  readonly verdict?: 0 | 1 | -1;
}

export interface LabelledQuestion {
  readonly dataId: number;
  readonly positions: readonly Position[];
  /** Of the SLM's disagreements; those it has no verdicts on count, too. @default the verdicts */
  readonly mismatches?: number;
}

/** Numbers that bfloat16 holds, other ones in each row. */
export const hiddenOf = (dataId: number, tokenId: number) => Float32Array.from({ length: 6 }, (_, at) => dataId + tokenId / 64 - at);
export const logitsOf = (dataId: number, tokenId: number) => Float32Array.from({ length: 5 }, (_, rank) => dataId / 8 + tokenId - rank / 2);
export const indicesOf = (slm: number) => Int32Array.from({ length: 5 }, (_, rank) => slm + 100 * rank);

function predictionOf(dataId: number, { tokenId, real, next, slm, type = 1 }: Position): PrefillRow {
  return {
    data_id: dataId,
    token_id: tokenId,
    real_token: real,
    next_token: next,
    token_type: type,
    slm_token: slm,
    top_logits: packVector(logitsOf(dataId, tokenId), 'float32'),
    top_ids: packIntegers(indicesOf(slm)),
    hidden: packVector(hiddenOf(dataId, tokenId), 'bfloat16'),
  };
}

/** Steps before the label set, in a workspace. @returns the identity of the one that makes it */
export async function labelSpec(workspace: string, questions: readonly LabelledQuestion[], params: object = {}) {
  mkdirSync(workspace, { recursive: true });
  const response = (dataId: number) => ({
    ...{ data_id: dataId, id: `set/${dataId}`, input_text: '', input_ids: [1], output_ids: [2], model_reasoning: '', model_response: '' },
    ...{ is_finished: true, finish: 'stop', output_tokens: 1 },
  });
  const groups = questions.map((question) => ({ firstQuestion: question.dataId, questions: 1, question }));
  const respond = await writeStep(
    workspace,
    'respond',
    groups.map(({ question, ...range }) => ({
      ...range,
      tables: [{ name: 'finished', schema: responsesTable, rows: [response(question.dataId)] }],
    })),
  );
  const prefill = await writeStep(
    workspace,
    'prefill',
    groups.map(({ question: { dataId, positions, mismatches }, ...range }) => ({
      ...range,
      tables: [
        {
          name: 'rows',
          schema: prefillTable(shape),
          rows: positions.map((position) => predictionOf(dataId, position)),
          metadata: { 'r2r.hidden_size': '6', 'r2r.hidden_type': 'bfloat16', 'r2r.top_count': '5' },
        },
      ],
      counts: { rows: positions.length, mismatches: mismatches ?? positions.filter(({ verdict }) => verdict !== undefined).length },
    })),
  );
  const verify = await writeStep(
    workspace,
    'verify',
    groups.map(({ question: { dataId, positions }, ...range }) => ({
      ...range,
      tables: [
        {
          name: 'verdicts',
          schema: verdictsTable,
          rows: positions.flatMap(({ tokenId, verdict }) =>
            verdict === undefined
              ? []
              : [{ data_id: dataId, token_id: tokenId + 1, divergent: verdict, verify_response: String(verdict), attempts: 1 }],
          ),
        },
      ],
    })),
  );
  return makeSpec(constructStep, params, { respond, prefill, verify });
}

export interface LabelSet {
  readonly folder: string;
  readonly manifest: StepManifest;
  readonly rows: readonly LabelRow[];
  /** By name, as text that can be compared. */
  readonly files: Readonly<Record<string, string>>;
}

/** Makes a label set. */
export async function labelSet(
  workspace: string,
  questions: readonly LabelledQuestion[],
  params: object = {},
  shards = 1,
): Promise<LabelSet> {
  const spec = await labelSpec(workspace, questions, params);
  let manifest: StepManifest | undefined;
  for (let shard = 0; shard < shards; shard++) {
    const context = toyContext({ folder: workspace, count: 0, shard, shards });
    const outcome = await runStep(constructStep, spec, context);
    if (outcome.sealed) manifest = outcome.manifest;
  }
  if (!manifest) throw new Error('the last shard seals the step');
  const folder = join(workspace, `construct-${manifest.hash}`);
  const rows: LabelRow[] = [];
  for await (const row of new FinishedStep(new Workspace(workspace), folder, manifest).rows('labels', labelsTable)) rows.push(row);
  const names = readdirSync(join(folder, 'data')).sort();
  return {
    folder,
    manifest,
    rows,
    files: Object.fromEntries(names.map((name) => [name, readFileSync(join(folder, 'data', name), 'base64')])),
  };
}
