/** Waits for an R2RDeployment with a line that tells what it is doing now, as `kubectl get r2r` would. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Cluster } from '../../test/cluster/cluster.ts';
import { findCondition, isTrue } from '../../src/api/conditions.ts';
import type { R2RDeployment } from '../../src/api/r2rdeployment.ts';

export interface ProgressLine {
  show(seconds: number, state: string): void;
  end(): void;
}

/** One line on a terminal that overwrites itself; separate lines, only when the state changes, anywhere else. */
export function progressLine(write: (text: string) => void, isTerminal: boolean): ProgressLine {
  let last = '';
  return {
    show(seconds, state) {
      if (!isTerminal && state === last) return;
      last = state;
      const text = `${String(seconds).padStart(3)} s  ${state}`.slice(0, 160);
      write(isTerminal ? `\r\u001b[2K  ${text}` : `  ${text}\n`);
    },
    end: () => write(isTerminal ? '\n' : ''),
  };
}

/** @throws when it is not Ready within `timeoutMs`; the message is the resource's own reason */
export async function waitUntilReady(
  cluster: Cluster,
  { name, namespace, timeoutMs }: { readonly name: string; readonly namespace: string; readonly timeoutMs: number },
  line: ProgressLine,
): Promise<R2RDeployment> {
  const started = Date.now();
  for (;;) {
    const deployment = JSON.parse(
      await cluster.kubectl(['get', 'r2r', name, '--namespace', namespace, '--output', 'json']),
    ) as R2RDeployment;
    const ready = findCondition(deployment.status?.conditions, 'Ready');
    const seconds = Math.round((Date.now() - started) / 1000);
    const { slm = '0/?', llm = '0/?' } = deployment.status?.summary ?? {};
    line.show(seconds, `SLM ${slm}  LLM ${llm}  ${ready ? `${ready.reason}: ${ready.message}` : 'waiting for the operator'}`);
    const rolledOut = !isTrue(deployment.status?.conditions, 'Reconciling');
    if (ready?.status === 'True' && ready.observedGeneration === deployment.metadata.generation && rolledOut) {
      line.end();
      return deployment;
    }
    if (Date.now() - started > timeoutMs) {
      line.end();
      throw new Error(
        `${name} is not ready after ${seconds} s: ${ready?.reason ?? 'no status'}: ${ready?.message ?? 'does the operator run?'}`,
      );
    }
    await sleep(1_000);
  }
}
