import { isDeepStrictEqual } from 'node:util';
import type { R2RDeploymentStatus } from '../api/r2rdeployment-status.ts';

/** While pods come up their counts change many times. They are written at once after a quiet time, and then at most this often, in ms. */
export const progressWriteMs = 5_000;

/** Conditions that say how a part gets on. What the deployment as a whole is, is told without delay. */
const ofParts = new Set(['SLMReady', 'LLMReady', 'RouterReady']);

/** Whether two statuses differ in nothing but counts, what parts say, and the wording of conditions. */
export function isProgressOnly(before: R2RDeploymentStatus | undefined, after: R2RDeploymentStatus): boolean {
  return before !== undefined && isDeepStrictEqual(essence(before), essence(after));
}

function essence({ slm: _, llm: __, summary: ___, conditions, ...rest }: R2RDeploymentStatus): object {
  const told = conditions?.filter(({ type }) => !ofParts.has(type)).map(({ type, status, reason }) => [type, status, reason]);
  return { ...rest, told };
}

/** When each deployment's status was last written. Lost on a restart, which costs one early write. */
export class StatusPace {
  readonly #writtenAt = new Map<string, number>();

  /** How long the write of `after` has to wait, in ms: 0 when it need not. */
  waitMs(key: string, nowMs: number, before: R2RDeploymentStatus | undefined, after: R2RDeploymentStatus): number {
    const dueMs = (this.#writtenAt.get(key) ?? -Infinity) + progressWriteMs - nowMs;
    return dueMs > 0 && isProgressOnly(before, after) && !isDeepStrictEqual(before, after) ? dueMs : 0;
  }

  written(key: string, nowMs: number): void {
    this.#writtenAt.set(key, nowMs);
  }

  forget(key: string): void {
    this.#writtenAt.delete(key);
  }
}
