import type { Autoscaler, Limits } from './policy.ts';
import type { Pool } from './pool.ts';

const syncSeconds = 15;
const tolerance = 0.1;
const downStabilizationSeconds = 300;

/**
 * Kubernetes' HorizontalPodAutoscaler on the engines' queue length (a Pods metric with an average value), with its defaults: sync every 15 s, tolerance
 * 10 %, 300 s down stabilisation, up by 4 pods or 100 % in 15 s, down by any number. As it does, pods that are not ready count as having no queue when it
 * would scale up, and not at all when it would scale down (pkg/controller/podautoscaler/replica_calculator.go). Its metrics are fresh, which is
 * better than it has them through a metrics adapter.
 */
export function hpa(target: number, { minReplicas, maxReplicas }: Limits, replicas: number): Autoscaler {
  const recommended: { readonly second: number; readonly replicas: number }[] = [];
  let wanted = replicas;
  return {
    get wanted() {
      return wanted;
    },
    step(pool) {
      if (pool.second % syncSeconds !== 0) return;
      const proposal = Math.max(minReplicas, Math.min(maxReplicas, calculate(pool, target, wanted)));
      recommended.push({ second: pool.second, replicas: proposal });
      while ((recommended[0]?.second ?? Infinity) <= pool.second - downStabilizationSeconds) recommended.shift();
      const stabilized = proposal < wanted ? Math.min(wanted, Math.max(...recommended.map((each) => each.replicas))) : proposal;
      wanted = Math.min(stabilized, wanted + Math.max(4, wanted));
      pool.replicas = wanted;
    },
  };
}

function calculate(pool: Pool, target: number, current: number): number {
  const ready = pool.readyPods();
  if (ready.length === 0) return current;
  const queued = ready.reduce((sum, { load }) => sum + load.queued, 0);
  const ratio = queued / ready.length / target;
  const unready = pool.pods.length - ready.length;
  if (ratio <= 1 || unready === 0) return Math.abs(ratio - 1) <= tolerance ? current : Math.ceil(ratio * ready.length);
  const damped = queued / pool.pods.length / target;
  if (damped <= 1 + tolerance) return current;
  return Math.max(current, Math.ceil(damped * pool.pods.length));
}
