import { UsageError } from './command.ts';

/** The one name among the arguments; `r2r/NAME` is taken, too. @throws UsageError */
export function deploymentName([name = '', ...more]: readonly string[]): string {
  const bare = name.replace(/^(r2r|r2rdeployments?(\.r2r\.dev)?)\//, '');
  if (bare === '') throw new UsageError('NAME of the R2RDeployment is missing');
  if (more[0] !== undefined) throw new UsageError(`one R2RDeployment at a time; what is ${JSON.stringify(more[0])}?`);
  return bare;
}
