import { Gauge } from 'prom-client';
import type { Registry } from 'prom-client';
import type { RouterAlarm } from '../api/router-status.ts';

export interface RouterState {
  /** Whether it takes requests. */
  readonly ready: boolean;
  readonly alarms: readonly RouterAlarm[];
  /** In force: the configuration's, else the bundle's own. */
  readonly threshold: number | undefined;
}

/** Publishes what `/r2r/status` says in words, so that monitoring can wait on it. @param read - at each scrape */
export function publishState(registry: Registry, read: () => RouterState): void {
  const registers = [registry];
  const ready: Gauge = new Gauge({
    name: 'r2r_ready',
    help: '1 while this router takes requests.',
    registers,
    collect: () => ready.set(Number(read().ready)),
  });
  const alarm: Gauge<'reason'> = new Gauge({
    name: 'r2r_alarm',
    help: '1 for each alarm that is raised; /r2r/status has its words.',
    labelNames: ['reason'],
    registers,
    collect() {
      alarm.reset();
      for (const { reason } of read().alarms) alarm.set({ reason }, 1);
    },
  });
  const threshold: Gauge = new Gauge({
    name: 'r2r_threshold',
    help: 'Threshold in force; absent where the strategy has none.',
    registers,
    collect() {
      const { threshold: value } = read();
      if (value === undefined) threshold.remove();
      else threshold.set(value);
    },
  });
}
