import { run } from '../cluster/commands.ts';
import { goTool, goTools } from '../support/go/go-tool.ts';

export interface Verdict {
  readonly status: string;
  readonly message: string;
}

/** What Flux makes of these objects. */
export async function kstatus(objects: readonly object[]): Promise<readonly Verdict[]> {
  return judge(['kstatus'], objects);
}

/** What Argo CD makes of these objects with this health.lua. It says Progressing of what is being deleted before it asks the script. */
export async function argoHealth(script: string, objects: readonly object[]): Promise<readonly Verdict[]> {
  return judge(['argo', script], objects);
}

async function judge(args: readonly string[], objects: readonly object[]): Promise<readonly Verdict[]> {
  const judges = await goTool(goTools.judges);
  return JSON.parse(await run(judges, args, { input: JSON.stringify(objects) })) as Verdict[];
}
