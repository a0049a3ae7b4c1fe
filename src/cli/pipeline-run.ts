import { parseArgs } from 'node:util';
import { failureMessage, outcomeMessage } from '../pipeline/outcome.ts';
import { runStep } from '../pipeline/run-step.ts';
import { stepDefinition } from '../pipeline/steps.ts';
import { stepSpecSchema } from '../pipeline/workspace/manifest.ts';
import { parsed } from './command.ts';
import {
  readFlagFile,
  required,
  runFlags,
  runFlagsUsage,
  shardOf,
  sourceAccess,
  tuningOf,
  wholeNumber,
  workspaceOf,
} from './pipeline-flags.ts';
import { runProcessOfSteps } from './pipeline-process.ts';

const usage = `usage: r2r pipeline run --workspace DIR --spec FILE [flags]

Runs one step of the pipeline, or one shard of it. What is done already is not done again.

  --workspace DIR            the folder with the steps
  --spec FILE                the step as JSON: {"step", "format", "params", "inputs": {"<step>": {"hash", "digest"}}}
  --shard-index N, --shards N
                             makes every N-th part                              [$JOB_COMPLETION_INDEX, else 0; 1]
${runFlagsUsage}
  --status-port PORT         serves /progress, /metrics and /healthz; 0 takes a free one  [9090]

Exits with 0 when this shard is done, 1 when running it again may help, 2 for a wrong command line, 3 when a person is needed.`;

/** Also what the Jobs of a router are held against. */
export const pipelineRunFlags = {
  ...runFlags,
  spec: { type: 'string' },
  'shard-index': { type: 'string' },
  shards: { type: 'string', default: '1' },
  'status-port': { type: 'string', default: '9090' },
} as const;

/** `r2r pipeline run` */
export function pipelineRun(argv: readonly string[]): Promise<void> {
  return runProcessOfSteps({ name: 'r2r pipeline run', argv, logTo: 1 }, async () => {
    const { values } = parsed(() => parseArgs({ args: [...argv], options: pipelineRunFlags }));
    if (values.help) {
      console.log(usage);
      return undefined;
    }
    const workspace = workspaceOf(values);
    const spec = await readFlagFile('spec', required('spec', values.spec), (text) => stepSpecSchema.parse(JSON.parse(text)));
    const shard = shardOf(values['shard-index'], values.shards, process.env);
    const tuning = tuningOf(values);
    const statusPort = wholeNumber('status-port', values['status-port']);
    return {
      engine: values.engine,
      model: values.model,
      statusPort,
      run: async ({ log, clock, signal, engines, begin }) => {
        try {
          const sources = spec.step === 'convert' ? await sourceAccess(values, spec.params, process.env) : undefined;
          const context = { workspace, engines, tuning, shard, clock, log, progress: begin(), signal, ...(sources && { sources }) };
          return outcomeMessage(spec, shard, await runStep(await stepDefinition(spec.step), spec, context));
        } catch (error) {
          return failureMessage(spec, shard, error);
        }
      },
    };
  });
}
