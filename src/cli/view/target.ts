import { UsageError } from '../command.ts';

export type TargetKind = 'deployment' | 'router';

/** What a command line names: one resource, or all that there are. */
export interface Target {
  readonly kind: TargetKind;
  readonly name: string;
}

const kinds: Readonly<Record<string, TargetKind>> = {
  r2r: 'deployment',
  r2rdeployment: 'deployment',
  r2rdeployments: 'deployment',
  deployment: 'deployment',
  r2rr: 'router',
  r2rrouter: 'router',
  r2rrouters: 'router',
  router: 'router',
};

/** `NAME` or `deployment/NAME` for an R2RDeployment, `router/NAME` for an R2RRouter. @throws UsageError */
export function targetOf([argument, ...more]: readonly string[]): Target | undefined {
  if (more[0] !== undefined) throw new UsageError(`one resource at a time; what is ${JSON.stringify(more[0])}?`);
  if (argument === undefined) return undefined;
  const [first = '', second, ...rest] = argument.split('/');
  const kind = second === undefined ? 'deployment' : Object.hasOwn(kinds, first.toLowerCase()) ? kinds[first.toLowerCase()] : undefined;
  const name = second ?? first;
  if (kind === undefined || name === '' || rest.length > 0)
    throw new UsageError(`${JSON.stringify(argument)} must be NAME, deployment/NAME or router/NAME`);
  return { kind, name };
}

/** The resource that must be named. @throws UsageError */
export function requiredTarget(positionals: readonly string[]): Target {
  const target = targetOf(positionals);
  if (!target) throw new UsageError('NAME of the R2RDeployment, or router/NAME, is missing');
  return target;
}
