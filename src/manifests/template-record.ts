import { labels, templateRecordName } from '../api/names.ts';
import { ownerReference } from '../api/r2rdeployment.ts';
import type { R2RDeployment } from '../api/r2rdeployment.ts';
import { templateKey } from '../api/revision.ts';
import type { JsonObject, KubeObject } from './json.ts';
import type { PodTemplates } from './pod-templates.ts';

/**
 * The ControllerRevision that pins the pod templates of a spec (ADR 1). Its data never changes: another spec has another name.
 *
 * @param recordName - @default that of the present spec, which is another one while a changed spec waits
 */
export function templateRecord(
  deployment: R2RDeployment,
  revision: string,
  { slm, llm, group }: PodTemplates,
  recordName = templateRecordName(deployment.metadata.name, templateKey(deployment.spec)),
): KubeObject {
  const { name, namespace = 'default' } = deployment.metadata;
  const record: JsonObject = {
    apiVersion: 'apps/v1',
    kind: 'ControllerRevision',
    metadata: {
      name: recordName,
      namespace,
      labels: labels(name, revision),
      ownerReferences: [{ ...ownerReference(deployment) }],
    },
    revision: 1,
    data: { slm, ...(llm && { llm }), ...(group && { group: { ...group } }) },
  };
  return record as KubeObject;
}
