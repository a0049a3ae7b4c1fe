import { alarmReasons, type RouterAlarm } from '../api/router-status.ts';
import type { SpreadStats } from './scoring/index.ts';

export interface AlarmFacts {
  /** Milliseconds a token takes with routing, and one decode step of the LLM; undefined while unknown. */
  readonly routedMs: number | undefined;
  readonly llmStepMs: number | undefined;
  readonly llmRatio: number;
  readonly spread: SpreadStats | undefined;
}

const percent = (share: number): string => `${(share * 100).toPrecision(2)} %`;

/** What people should look at although the router serves. */
export function alarms({ routedMs, llmStepMs, llmRatio, spread }: AlarmFacts): readonly RouterAlarm[] {
  const raised: RouterAlarm[] = [];
  if (spread?.alarm) {
    raised.push({
      reason: alarmReasons.logitSpreadHigh,
      message:
        "the raw logits that the router network needs cannot be recovered reliably from the SLM server's answers: another model or precision " +
        'is served than the checkpoint is for, or the server changes the logits; check the SLM image, its flags and the checkpoint',
    });
  }
  if (routedMs !== undefined && llmStepMs !== undefined && routedMs > llmStepMs) {
    raised.push({
      reason: alarmReasons.slowerThanLLM,
      message:
        `a token takes ${routedMs.toPrecision(2)} ms at an LLM share of ${percent(llmRatio)}, the LLM alone would need ` +
        `${llmStepMs.toPrecision(2)} ms; raise the threshold, or use strategy llm`,
    });
  }
  return raised;
}
