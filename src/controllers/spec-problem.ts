import type { z } from 'zod';
import { reasons } from '../api/conditions.ts';
import type { Problem } from './pod-problem.ts';

/** Why a stored spec is none that this version knows: an older or newer CRD is installed. Names the first field. */
export function specProblem({ issues: [issue] }: z.ZodError): Problem {
  return { reason: reasons.specInvalid, message: `spec.${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'invalid'}` };
}
