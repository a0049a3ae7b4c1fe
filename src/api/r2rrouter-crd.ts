import { definition, wholeSchema } from './crd.ts';
import { r2rRouterSchema, routerKind, routerPlural } from './r2rrouter.ts';
import type { StructuralSchema } from './structural.ts';

const columns = [
  ['Phase', 'string', '.status.phase', 'Where it stands: Pending, Running, Suspended, Failed, Refused or Ready.'],
  ['Step', 'string', '.status.summary.step', 'Step that runs, or that failed.'],
  ['Progress', 'string', '.status.summary.progress', 'How far this step is.'],
  ['Recall', 'string', '.status.summary.recall', 'Share of the divergent tokens that go to the LLM, on the test rows.'],
  ['Positive%', 'string', '.status.summary.positiveRate', 'Share of all tokens that go to the LLM, on the test rows.'],
  ['Age', 'date', '.metadata.creationTimestamp', ''],
] as const;

const wideColumns = [
  ['Threshold', 'number', '.status.candidate.threshold', 'Threshold of the newest router.'],
  ['Bundle', 'string', '.status.bundle.digest', 'Bundle that deployments get.'],
  ['Reason', 'string', '.status.conditions[?(@.type=="Ready")].reason', 'Why it is ready or not.'],
] as const;

/** The structural schema of an R2RRouter. */
export function routerResourceSchema(): StructuralSchema {
  return wholeSchema(r2rRouterSchema);
}

/** The CustomResourceDefinition of R2RRouters. */
export function routerCustomResourceDefinition() {
  return definition({
    kind: routerKind,
    plural: routerPlural,
    singular: 'r2rrouter',
    shortName: 'r2rr',
    schema: routerResourceSchema(),
    columns,
    wideColumns,
  });
}
