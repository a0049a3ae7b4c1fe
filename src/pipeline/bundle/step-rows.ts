import { basename, dirname, resolve } from 'node:path';
import { recoveryRows } from '../../model/bundle-manifest.ts';
import type { CalibrationRow } from '../../model/network-runner.ts';
import { loadSlmConfig } from '../../model/slm-config.ts';
import type { JobName } from '../../api/r2rrouter-jobs.ts';
import type { StepSpec } from '../../api/step-identity.ts';
import type { Log } from '../log.ts';
import { Workspace } from '../workspace/workspace.ts';
import { featureRows } from './feature-rows.ts';
import { assertTested, testRows, type TestRows } from './test-rows.ts';
import { plainSettings, type Trained } from './trained.ts';

/** Rows that int8 is compared with fp32 on in the bundle's manifest. */
const comparedRows = 1000;

interface RowsContext {
  readonly workspace: string;
  readonly labels: string | undefined;
  readonly log: Log;
  readonly signal: AbortSignal;
}

/**
 * The rows that the bundle is measured on; undefined where there is no label set, or it cannot be read here, which the log says.
 *
 * @throws PipelineError
 */
export async function testRowsOf(
  spec: StepSpec<JobName>,
  trained: Trained | undefined,
  context: RowsContext,
): Promise<TestRows | undefined> {
  const { labels, log, signal } = context;
  if (labels === undefined) {
    log.warn({ step: 'bundle' }, 'there is no label set (--data): the bundle is measured on nothing');
    return undefined;
  }
  const rows = await testRows(labels, trained?.result.identity ?? plainSettings, checkOf(spec, labels, context), signal);
  if ('unreadable' in rows) {
    log.warn({ why: rows.unreadable }, "the test rows cannot be read here: figures are the trainer's, and nothing is compared");
    return undefined;
  }
  if (trained) assertTested(rows, labels, trained.result.test);
  return rows;
}

/** Looks at the digests of files that the construct step wrote. */
function checkOf({ inputs }: StepSpec<JobName>, labels: string, { workspace: root }: RowsContext): (path: string) => Promise<void> {
  const input = inputs.construct;
  if (!input) return () => Promise.resolve();
  const workspace = new Workspace(root);
  return async (path) => {
    const { folder, manifest } = await workspace.input('construct', input);
    if (dirname(path) !== resolve(folder, 'data') || resolve(labels) !== resolve(folder, 'data')) return;
    for (const { part, files } of manifest.parts)
      for (const file of files) if (basename(file.file) === basename(path)) await workspace.checkedFile(folder, manifest, part, file);
  };
}

/** Test rows from all over the split, for the comparison of precisions. */
export async function* calibrationRows(rows: TestRows, logprobs: number, slmFolder: string): AsyncGenerator<CalibrationRow> {
  const { hiddenSize } = await loadSlmConfig(slmFolder);
  const shape = { hiddenSize, logitsSize: Math.max(logprobs, recoveryRows), inputs: ['logprobs'] as const };
  yield* featureRows(rows, shape, Math.ceil(rows.count / comparedRows));
}
