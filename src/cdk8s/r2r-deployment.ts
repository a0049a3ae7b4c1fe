import { ApiObject } from 'cdk8s';
import type { ApiObjectMetadata, GroupVersionKind } from 'cdk8s';
import type { Construct } from 'constructs';
import { resourceSchema } from '../api/crd.ts';
import type { R2RDeploymentSpecInput } from '../api/r2rdeployment.ts';
import { apiVersion, kind, specSchema } from '../api/r2rdeployment.ts';
import { addResourceValidation } from './validation.ts';

export interface R2RDeploymentProps {
  /** @default a name made from the construct's path; the API server takes at most 40 characters */
  readonly metadata?: ApiObjectMetadata;
  /** What is left out has the default of docs/reference/r2rdeployment.md, which the API server fills in. */
  readonly spec: R2RDeploymentSpecInput;
}

/** A small and a large model that answer together, token by token, behind one OpenAI-compatible endpoint. Checked when the app is synthesised. */
export class R2RDeployment extends ApiObject {
  static readonly GVK: GroupVersionKind = { apiVersion, kind };

  constructor(scope: Construct, id: string, props: R2RDeploymentProps) {
    super(scope, id, { ...R2RDeployment.GVK, ...props });
    addResourceValidation(this, specSchema, resourceSchema());
  }

  /** The manifest alone, for example for a Helm value or an include. */
  static manifest(props: R2RDeploymentProps): R2RDeploymentProps & GroupVersionKind {
    return { ...R2RDeployment.GVK, ...props };
  }

  /** Base URL of the OpenAI-compatible API inside the cluster; over https where the spec names a certificate. */
  get endpoint(): string {
    const { spec } = this.toJson() as { readonly spec: R2RDeploymentSpecInput };
    const { namespace } = this.metadata;
    return `${spec.api?.tls ? 'https' : 'http'}://${this.name}${namespace === undefined ? '' : `.${namespace}.svc`}`;
  }
}
