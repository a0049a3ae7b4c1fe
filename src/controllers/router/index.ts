export { gateDecision } from './gate.ts';
export type { GateDecision } from './gate.ts';
export { observeJob } from './observation.ts';
export type { ObservedJob } from './observation.ts';
export { plan } from './plan.ts';
export type { Plan, PlanInput } from './plan.ts';
