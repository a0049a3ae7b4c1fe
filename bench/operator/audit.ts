import type { AuditLine } from '../../test/simulated/cluster.ts';

const writeVerbs = new Set(['create', 'update', 'patch', 'delete', 'deletecollection']);

/** Whether a request may change something. The leader's lease is no part of any deployment. */
export function isWrite({ verb, objectRef }: AuditLine): boolean {
  return writeVerbs.has(verb) && objectRef?.resource !== 'leases';
}

/** Requests by verb and resource, the most frequent first; a lease's, too. */
export function countRequests(lines: readonly AuditLine[]): Readonly<Record<string, number>> {
  const counts = new Map<string, number>();
  for (const { verb, objectRef } of lines) {
    const { resource = 'none', subresource } = objectRef ?? {};
    const what = `${verb} ${resource}${subresource === undefined ? '' : `/${subresource}`}`;
    counts.set(what, (counts.get(what) ?? 0) + 1);
  }
  return Object.fromEntries([...counts].sort(([, a], [, b]) => b - a));
}

/** Writes of the same kind to the same object that were refused by nobody, more than one of which would be something done twice. */
export function createdTwice(lines: readonly AuditLine[]): readonly string[] {
  const counts = new Map<string, number>();
  for (const { responseStatus, objectRef } of lines) {
    // a server-side apply that makes an object is answered 201, as a create is
    if (responseStatus?.code !== 201 || !objectRef || objectRef.resource === 'events') continue;
    const what = `${objectRef.resource} ${objectRef.namespace}/${objectRef.name}`;
    counts.set(what, (counts.get(what) ?? 0) + 1);
  }
  return [...counts].filter(([, count]) => count > 1).map(([what]) => what);
}
