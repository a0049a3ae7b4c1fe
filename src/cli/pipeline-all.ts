import { parseArgs } from 'node:util';
import { parse } from 'yaml';
import { z } from 'zod';
import { runAll } from '../pipeline/all-steps.ts';
import type { EngineRole } from '../pipeline/step.ts';
import { UsageError, parsed } from './command.ts';
import { engineFlags } from './pipeline-engines.ts';
import { readFlagFile, required, runFlags, runFlagsUsage, sourceAccess, tuningOf, wholeNumber, workspaceOf } from './pipeline-flags.ts';
import { runProcessOfSteps } from './pipeline-process.ts';
import { stepLine } from './pipeline-show.ts';

const usage = `usage: r2r pipeline all --workspace DIR --params FILE --engine ROLE=URL … --model ROLE=FOLDER … [flags]

Runs the steps from questions to a label set one after the other. What is done already is not done again: run it again after a stop.

  --workspace DIR            the folder for the steps
  --params FILE              parameters by step, JSON or YAML: {convert: {…}, respond: {…}, …}
${runFlagsUsage}
  --status-port PORT         serves /progress, /metrics and /healthz; 0 takes a free one  [0]

Prints a line for each step that is done; its log goes to stderr. Exits as \`r2r pipeline run\` does.`;

const flags = { ...runFlags, params: { type: 'string' }, 'status-port': { type: 'string', default: '0' } } as const;
const servers: readonly EngineRole[] = ['slm', 'llm', 'verifier'];

/** `r2r pipeline all` */
export function pipelineAll(argv: readonly string[]): Promise<void> {
  return runProcessOfSteps({ name: 'r2r pipeline all', argv, logTo: 2 }, async () => {
    const { values } = parsed(() => parseArgs({ args: [...argv], options: flags }));
    if (values.help) {
      console.log(usage);
      return undefined;
    }
    const workspace = workspaceOf(values);
    const params = await readFlagFile('params', required('params', values.params), (text) => z.looseObject({}).parse(parse(text)));
    const given = engineFlags(values.engine, values.model);
    for (const role of servers)
      if (given.find((each) => each.role === role)?.url === undefined) throw new UsageError(`--engine ${role}=URL is missing`);
    const tuning = tuningOf(values);
    return {
      engine: values.engine,
      model: values.model,
      statusPort: wholeNumber('status-port', values['status-port']),
      run: async ({ log, clock, signal, engines, begin }) => {
        const sources = await sourceAccess(values, params['convert'], process.env);
        const context = { workspace, engines, tuning, sources, clock, log, signal, shard: { index: 0, count: 1 } };
        const { construct } = await runAll(
          params,
          () => ({ ...context, progress: begin() }),
          (manifest) => console.log(stepLine(manifest)),
        );
        const { step, hash, digest, rows, counts } = construct;
        return { ok: true, step, hash, shard: 0, sealed: true, digest, rows, counts };
      },
    };
  });
}
