import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { loadTokenizer } from '../model/tokenizer-folder.ts';
import { reportLabels, reportText } from '../pipeline/report/report.ts';
import { Workspace } from '../pipeline/workspace/workspace.ts';
import { parsed, runCommand } from './command.ts';
import { engineFlags } from './pipeline-engines.ts';
import { required, wholeNumber } from './pipeline-flags.ts';

const usage = `usage: r2r pipeline examples --workspace DIR [flags]

Says how often the SLM would have said the same as the LLM, and shows examples: identical, neutral, divergent and unknown.

  --workspace DIR            the folder with the steps
  --hash HASH                of the label set, where there are several (r2r pipeline show)
  --count N                  examples of each class                             [20]
  --seed N                   another one shows others                           [42]
  --model slm=FOLDER         the SLM's folder, to show identical tokens as text and not as numbers
  --json                     print the report as JSON`;

const flags = {
  workspace: { type: 'string' },
  hash: { type: 'string' },
  count: { type: 'string', default: '20' },
  seed: { type: 'string', default: '42' },
  model: { type: 'string', multiple: true },
  json: { type: 'boolean', default: false },
  help: { type: 'boolean', short: 'h', default: false },
} as const;

/** `r2r pipeline examples` */
export function pipelineExamples(argv: readonly string[]): Promise<void> {
  return runCommand({ name: 'r2r pipeline examples', json: argv.includes('--json') }, async () => {
    const { values } = parsed(() => parseArgs({ args: [...argv], options: flags }));
    if (values.help) return { text: [usage], json: { usage } };
    const workspace = new Workspace(resolve(required('workspace', values.workspace)));
    const slm = engineFlags([], values.model).find(({ role }) => role === 'slm');
    const tokenizer = slm && (await loadTokenizer(slm.folder));
    const report = await reportLabels(workspace, {
      count: wholeNumber('count', values.count),
      seed: wholeNumber('seed', values.seed),
      ...(values.hash !== undefined && { hash: values.hash }),
      ...(tokenizer && { decode: (ids) => tokenizer.decode([...ids], { keepSpecialTokens: true }) }),
    });
    return { text: [reportText(report)], json: report };
  });
}
