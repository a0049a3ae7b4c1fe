import type { R2RDeployment } from '../api/r2rdeployment.ts';
import type { R2RDeploymentStatus } from '../api/r2rdeployment-status.ts';
import { maxHistory } from '../api/rollout-history.ts';
import type { ServedRevision } from '../api/rollout-history.ts';

const changeCause = 'kubernetes.io/change-cause';

/** What people know a revision by, as the present spec has it. */
export type Described = Omit<ServedRevision, 'revision' | 'servedSince'>;

export function described({ metadata, spec }: R2RDeployment): Described {
  const { slm, llm } = spec;
  const cause = metadata.annotations?.[changeCause]?.slice(0, 1024);
  return {
    slm: slm.model,
    llm: llm.model,
    ...(slm.image !== undefined && { slmImage: slm.image }),
    ...(llm.image !== undefined && { llmImage: llm.image }),
    ...(cause !== undefined && { changeCause: cause }),
  };
}

/** The history with `serving` at its head. @param known - undefined where the present spec is not that of the serving revision */
export function withServing(
  { history = [], revision }: Pick<R2RDeploymentStatus, 'history' | 'revision'>,
  serving: string,
  known: Described | undefined,
  now: Date,
): ServedRevision[] {
  if (history[0]?.revision === serving) return [...history];
  // it may have served before there was a history
  const isNew = revision?.serving !== serving;
  const servedSince = now.toISOString().replace(/\.\d+Z$/, 'Z');
  return [{ revision: serving, ...(isNew && { servedSince }), ...known }, ...history].slice(0, maxHistory);
}
