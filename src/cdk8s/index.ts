/** cdk8s constructs of our custom resources, for users: `import { R2RDeployment } from 'r2r-kubernetes/cdk8s'`. */
export { R2RDeployment } from './r2r-deployment.ts';
export type { R2RDeploymentProps } from './r2r-deployment.ts';
export { R2RRouter } from './r2r-router.ts';
export type { R2RRouterProps } from './r2r-router.ts';
export type { R2RDeploymentSpecInput as R2RDeploymentSpec } from '../api/r2rdeployment.ts';
export type { R2RRouterSpecInput as R2RRouterSpec } from '../api/r2rrouter.ts';
