import { Agent, request } from 'undici';
import { z } from 'zod';
import { modelJobContainer } from '../../api/model-job-names.ts';
import { jobContainers, jobPorts } from '../../api/r2rrouter-names.ts';
import type { RouterStepStatus } from '../../api/r2rrouter-status.ts';
import type { Live } from '../../kube/index.ts';
import type { Pod } from '../../kube/resources.ts';
import { limitedText } from '../limited-body.ts';
import { significant } from '../routing.ts';

export type StepProgress = NonNullable<RouterStepStatus['progress']>;

/** A report is a few hundred bytes. */
const maxReportBytes = 64 * 1024;

/** What a step's pod says on `GET :9090/progress`, as far as the operator reads it (src/pipeline/progress.ts, and the trainer's). */
const reportSchema = z.object({
  hash: z.string(),
  unit: z.string().max(64),
  done: z.number().nonnegative(),
  total: z.number().nonnegative(),
  perSecond: z.number().nonnegative().catch(0),
  etaSeconds: z.number().nonnegative().nullable().catch(null),
  tokensPerSecond: z.number().nonnegative().catch(0),
  engineUtilisation: z.number().min(0).max(1).catch(0),
});
export type ProgressReport = z.infer<typeof reportSchema>;

/** How the operator asks the pods of Jobs how far they are. */
export interface ProgressClient {
  /** Undefined when it does not answer in time, or answers something else or too much. */
  report(address: string, signal: AbortSignal): Promise<ProgressReport | undefined>;
  close(): Promise<void>;
}

export function progressClient(timeoutMs = 2_000, port: number = jobPorts.status): ProgressClient {
  const agent = new Agent({ keepAliveTimeout: 4_000, connections: 1 });
  return {
    async report(address, signal) {
      try {
        const host = address.includes(':') ? `[${address}]` : address;
        const { statusCode, body } = await request(`http://${host}:${port}/progress`, {
          dispatcher: agent,
          signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]),
        });
        const parsed = reportSchema.safeParse(JSON.parse(await limitedText(body, maxReportBytes)));
        return statusCode === 200 && parsed.success ? parsed.data : undefined;
      } catch {
        signal.throwIfAborted();
        return undefined;
      }
    },
    close: () => agent.close(),
  };
}

/** Where a pod whose step or download runs can be asked. */
export function progressAddress({ status }: Live<Pod>): string | undefined {
  const step = status?.containerStatuses?.find(({ name }) => name === jobContainers.step || name === modelJobContainer);
  return step?.state?.running ? status?.podIP : undefined;
}

/**
 * The shards of a step added up, rates to two significant digits, so that small changes write nothing; undefined where none has begun to count.
 * The slowest shard tells how long it still takes. A shard that does not answer counts as the others do on average.
 *
 * @param shards - of the Job
 * @param shardsDone - whose pods have ended
 */
export function stepProgress(reports: readonly ProgressReport[], shards: number, shardsDone: number): StepProgress | undefined {
  const counting = reports.filter(({ total }) => total > 0);
  const [first] = counting;
  if (!first) return undefined;
  const sum = (of: (report: ProgressReport) => number): number => counting.reduce((total, report) => total + of(report), 0);
  const scale = shards / counting.length;
  const whole = sum(({ total }) => total) * (counting.length < shards ? scale : 1);
  const ended = shardsDone * (whole / shards);
  const etas = counting.flatMap(({ etaSeconds }) => etaSeconds ?? []);
  const [perSecond, tokensPerSecond] = [sum((each) => each.perSecond), sum((each) => each.tokensPerSecond)];
  const engineUtilisation = sum((each) => each.engineUtilisation) / counting.length;
  return {
    unit: first.unit,
    done: Math.min(Math.round(whole), Math.round(sum(({ done }) => done) + ended)),
    total: Math.round(whole),
    ...(perSecond > 0 && { perSecond: significant(perSecond) }),
    ...(etas.length > 0 && { etaSeconds: Math.round(Math.max(...etas)) }),
    ...(tokensPerSecond > 0 && { tokensPerSecond: significant(tokensPerSecond) }),
    ...(engineUtilisation > 0 && { engineUtilisation: significant(engineUtilisation) }),
  };
}
