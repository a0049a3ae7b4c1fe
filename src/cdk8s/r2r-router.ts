import { ApiObject } from 'cdk8s';
import type { ApiObjectMetadata, GroupVersionKind } from 'cdk8s';
import type { Construct } from 'constructs';
import { apiVersion } from '../api/r2rdeployment.ts';
import { routerResourceSchema } from '../api/r2rrouter-crd.ts';
import type { R2RRouterSpecInput } from '../api/r2rrouter.ts';
import { routerKind, routerSpecSchema } from '../api/r2rrouter.ts';
import { addResourceValidation } from './validation.ts';

export interface R2RRouterProps {
  /** @default a name made from the construct's path; the API server takes at most 40 characters */
  readonly metadata?: ApiObjectMetadata;
  /** What is left out has the default of docs/reference/r2rrouter.md, which the API server fills in. */
  readonly spec: R2RRouterSpecInput;
}

/** A router for a pair of models: labelled, trained, checked, and rolled out to the deployments that follow it. Checked when the app is synthesised. */
export class R2RRouter extends ApiObject {
  static readonly GVK: GroupVersionKind = { apiVersion, kind: routerKind };

  constructor(scope: Construct, id: string, props: R2RRouterProps) {
    super(scope, id, { ...R2RRouter.GVK, ...props });
    addResourceValidation(this, routerSpecSchema, routerResourceSchema());
  }

  /** The manifest alone, for example for a Helm value or an include. */
  static manifest(props: R2RRouterProps): R2RRouterProps & GroupVersionKind {
    return { ...R2RRouter.GVK, ...props };
  }

  /** For `spec.router.checkpoint` of an R2RDeployment that is to follow this router. */
  get checkpoint(): { readonly routerRef: { readonly name: string } } {
    return { routerRef: { name: this.name } };
  }
}
