import { Death } from './mortal-file-system.ts';

/** Whether an error is, or comes from, the end of the process. */
export function isDeath(error: unknown): boolean {
  return error instanceof Death || (error instanceof Error && error.cause !== undefined && isDeath(error.cause));
}
