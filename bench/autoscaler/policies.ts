import { hpa } from './hpa.ts';
import { aibrix, knative, kpa } from './kpa.ts';
import { defaultUtilization, ours } from './ours.ts';
import { fixed, type Autoscaler, type Limits } from './policy.ts';
import type { Row } from './curve.ts';

/** A policy with one setting. */
export interface Candidate extends Pick<Row, 'policy' | 'setting' | 'standard'> {
  make(limits: Limits, replicas: number, seed: number): Autoscaler;
}

/** From far too many to far too few calls for a replica that is within its target with some 43 under way, 14 of them waiting for a step. */
const queueTargets = [1, 2, 3, 4, 5, 6, 8, 12];
const concurrencyTargets = [4, 6, 8, 10, 12, 14, 18, 25];
const utilizations = [defaultUtilization, 0.8, 0.9];

/** All that are compared: each autoscaler with every target, so that each is seen at its best. */
export function candidates(sizes: { readonly mean: number; readonly peak: number }): readonly Candidate[] {
  return [
    ...utilizations.map((setting) => ({
      policy: 'r2r',
      setting,
      standard: setting === defaultUtilization,
      make: (limits: Limits, replicas: number, seed: number) => ours(setting, limits, replicas, seed),
    })),
    ...queueTargets.map((setting) => ({
      policy: 'hpa-queue',
      setting,
      standard: null,
      make: (limits: Limits, replicas: number) => hpa(setting, limits, replicas),
    })),
    ...Object.entries({ knative, aibrix }).flatMap(([name, settings]) =>
      concurrencyTargets.map((setting) => ({
        policy: `kpa-${name}`,
        setting,
        standard: null,
        make: (limits: Limits, replicas: number) => kpa({ ...settings, target: setting }, limits, replicas),
      })),
    ),
    ...Object.entries(sizes).map(([name, setting]) => ({ policy: `static-${name}`, setting, standard: null, make: () => fixed(setting) })),
  ];
}
