import { z } from 'zod';

/** One model server of a Colocated pod. */
const plannedEngine = z.object({
  name: z.enum(['slm', 'llm']),
  /** `http://host:port`, where it answers. */
  url: z.string().min(1),
  command: z.array(z.string()).min(1),
  /** Variables beside those of the container. */
  env: z.record(z.string(), z.string()).default({}),
  /** What its share of GPU memory follows from; absent on CPU. */
  memory: z
    .object({
      /** The model's folder. */
      model: z.string(),
      /** GPUs that the model is split over. */
      gpus: z.number().int().min(1),
      /** The spec says the share, and the command has it. Else the command has the one to take where none can be worked out. */
      fixed: z.boolean(),
    })
    .optional(),
});

/**
 * What the launcher of a Colocated pod is told, as JSON: engines in the order in which they start. There are two launchers: a script for the
 * SGLang image, which has Python (src/manifests/sglang-launcher.ts), and `r2r engines` for ours, which has Node.
 */
export const enginePlanSchema = z.object({
  engines: z.array(plannedEngine).length(2),
  /** Where the launcher reports to the kubelet and the router. */
  report: z.object({ host: z.string(), port: z.number().int() }),
  /** How long one engine may take until it is ready. */
  readyTimeoutSeconds: z.number().positive(),
  /** How long one engine may take to end when it is told to. */
  stopTimeoutSeconds: z.number().positive(),
});

export type EnginePlan = z.infer<typeof enginePlanSchema>;
export type PlannedEngine = EnginePlan['engines'][number];
export type EngineName = PlannedEngine['name'];

/**
 * States of an engine: not started, because the one before is not ready; started; taking requests; not taking them any more, although it
 * runs; ended.
 */
export const engineStates = ['waiting', 'starting', 'ready', 'unready', 'ended'] as const;
export type EngineState = (typeof engineStates)[number];

/** The body of the launcher's `GET /ready` (200 when both are ready, else 503) and `GET /health`. */
export const engineReportSchema = z.object({ slm: z.enum(engineStates), llm: z.enum(engineStates) });
export type EngineReport = z.infer<typeof engineReportSchema>;

/** Why both engines are taken down: the launcher's last words, which the kubelet keeps as the container's termination message. */
export function engineFailure(name: EngineName, what: string): string {
  return `launcher: engine ${name} ${what}; both start again`;
}

/** Which engine the launcher's last words blame. */
export function blamedEngine(words: string): EngineName | undefined {
  return /launcher: engine (slm|llm) /.exec(words)?.[1] as EngineName | undefined;
}
