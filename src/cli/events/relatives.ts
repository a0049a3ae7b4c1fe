/** Which events belong to a resource: those of itself, of its children and of their pods, also of those that are gone. */
import { kind } from '../../api/r2rdeployment.ts';
import { labelKeys, managedBy, toSelector } from '../../api/names.ts';
import { jobNames } from '../../api/r2rrouter-jobs.ts';
import { jobsPolicyName, routerJobComponent, workspaceClaimName } from '../../api/r2rrouter-names.ts';
import { routerKind } from '../../api/r2rrouter.ts';
import { deployments, jobs, persistentVolumeClaims, pods, replicaSets, services } from '../../kube/index.ts';
import type { Live, ResourceType } from '../../kube/index.ts';
import type { Event } from '../../kube/resources.ts';
import type { Gaps } from '../view/gaps.ts';
import type { Scope } from '../view/resources.ts';
import type { Target } from '../view/target.ts';

export type Belongs = (event: Event) => boolean;

const childTypes = [deployments, replicaSets, pods, jobs, services, persistentVolumeClaims] as unknown as readonly ResourceType[];

/** @param uid - of the resource */
export async function relatives(scope: Scope, target: Target, uid: string, gaps: Gaps): Promise<Belongs> {
  return belongsTo(target, new Set([uid, ...(await children(scope, target, gaps)).map(({ metadata }) => metadata.uid)]));
}

/** @param uids - of the resource, and of those of its children and pods that are known */
export function belongsTo(target: Target, uids: ReadonlySet<string>): Belongs {
  const names = nameOf(target);
  return ({ regarding }) => {
    if (!regarding) return false;
    if (regarding.uid !== undefined && uids.has(regarding.uid)) return true;
    const isKind = regarding.kind === (target.kind === 'router' ? routerKind : kind);
    // a namesake of an earlier time is told of, too: what happened to it often explains what happens now
    return isKind ? regarding.name === target.name : names.test(regarding.name ?? '');
  };
}

/** What children and their pods are called: some have gone, and only their events are left. */
function nameOf({ kind: of, name }: Target): RegExp {
  // names of resources consist of lower-case letters, digits and -
  return of === 'router'
    ? new RegExp(`^(${name}-(${jobNames.join('|')})-[0-9a-f]{8}(-.*)?|${workspaceClaimName(name)}|${jobsPolicyName(name)})$`)
    : new RegExp(`^${name}-[0-9a-f]{8}-(slm|llm|router|templates)(-.*)?$`);
}

async function children({ client, namespace, signal }: Scope, { kind: of, name }: Target, gaps: Gaps): Promise<readonly Live[]> {
  const labelSelector = toSelector({ [labelKeys.managedBy]: managedBy, [labelKeys.instance]: name });
  const read = async (type: ResourceType): Promise<readonly Live[]> =>
    (await gaps.tryRead(`${type.kind}s`, client.list(type, { namespace, labelSelector, signal })))?.items ?? [];
  const all = (await Promise.all(childTypes.map(read))).flat();
  const isJob = ({ kind: is, metadata }: Live): boolean =>
    metadata.labels?.[labelKeys.component] === routerJobComponent ||
    (is === persistentVolumeClaims.kind && metadata.name === workspaceClaimName(name));
  return all.filter((object) => isJob(object) === (of === 'router'));
}
