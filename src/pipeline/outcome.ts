import { PipelineError } from './errors.ts';
import type { StepOutcome } from './run-step.ts';
import { stepHash, type StepSpec } from './step-identity.ts';
import type { Shard } from './step.ts';

/** What a kubelet keeps of a container's last words. */
const maxBytes = 4096;

/** Where a bundle is, and what its network does on the test rows at its threshold. */
export interface BundleOutcome {
  readonly digest: string;
  /** What routers fetch it by. */
  readonly uri: string;
  readonly recall?: number | undefined;
  readonly positiveRate?: number | undefined;
  readonly threshold?: number | undefined;
  /** Test rows. */
  readonly rows?: number | undefined;
  /** The bundle in use on the same rows, at the recall that is asked for. */
  readonly current?:
    { readonly digest: string; readonly recall: number; readonly positiveRate: number; readonly minRecall: number } | undefined;
}

/** What a shard's process leaves behind for the operator, in /dev/termination-log. */
export type TerminationMessage =
  | {
      readonly ok: true;
      readonly step: string;
      readonly hash: string;
      readonly shard: number;
      /** False: other shards are not done. */
      readonly sealed: boolean;
      readonly digest?: string;
      readonly rows?: Readonly<Record<string, number>>;
      readonly counts?: Readonly<Record<string, number>>;
      /** Of the bundling step. */
      readonly bundle?: BundleOutcome;
    }
  | {
      readonly ok: false;
      readonly step: string;
      readonly hash: string;
      readonly shard: number;
      readonly code: string;
      /** Of the step at fault, where it is another one. */
      readonly faultyStep?: string;
      readonly file?: string;
      readonly field?: string;
      readonly message: string;
      readonly fix: string;
      readonly retryable: boolean;
    };

/** Exit codes of a step's process: 3 needs a person, so that a Job had better not try again. */
export const exitCodes = { done: 0, mayPass: 1, usage: 2, refused: 3 } as const;

export function outcomeMessage(spec: StepSpec, shard: Shard, outcome: StepOutcome): TerminationMessage {
  const which = { ok: true, step: spec.step, hash: stepHash(spec), shard: shard.index } as const;
  if (!outcome.sealed) return { ...which, sealed: false };
  const { digest, rows, counts } = outcome.manifest;
  return { ...which, sealed: true, digest, rows, counts };
}

export function failureMessage(spec: StepSpec<string>, shard: Shard, error: unknown): TerminationMessage {
  const which = { ok: false, step: spec.step, hash: stepHash(spec), shard: shard.index } as const;
  if (!(error instanceof PipelineError)) {
    const message = error instanceof Error ? error.message : String(error);
    return { ...which, code: codeOf(error) ?? 'PIPELINE_DEFECT', message, fix: "see the pod's log", retryable: true };
  }
  const { code, message, fix, file, field, step, retryable } = error;
  return {
    ...which,
    code,
    ...(step !== undefined && step !== spec.step && { faultyStep: step }),
    ...(file !== undefined && { file }),
    ...(field !== undefined && { field }),
    message,
    fix,
    retryable,
  };
}

export function exitCodeOf(message: TerminationMessage): number {
  return message.ok ? exitCodes.done : message.retryable ? exitCodes.mayPass : exitCodes.refused;
}

/** One line that a kubelet keeps whole: the longest text is cut. */
export function terminationText(message: TerminationMessage): string {
  const text = JSON.stringify(message);
  const excess = Buffer.byteLength(text) - maxBytes;
  if (excess <= 0 || message.ok) return text;
  // a character has at most 3 bytes more as JSON than as text
  return JSON.stringify({ ...message, message: `${message.message.slice(0, Math.max(0, message.message.length - excess - 8))} …` });
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}
