import { z } from 'zod';
import type { Rule } from './cel.ts';

/** Where the engines of a pair run. */
export const placements = ['Disaggregated', 'Colocated'] as const;
export type Placement = (typeof placements)[number];

/** Once released, it never changes: the revision leaves it out. */
export const defaultPlacement: Placement = 'Disaggregated';

export const placement = z
  .enum(placements)
  .default(defaultPlacement)
  .describe(
    '`Disaggregated`: SLM pods and LLM pods, scaled apart. `Colocated`: each pod is a whole unit, and its LLM shares the GPUs with its SLM: the LLM is split over all of the ' +
      "pod's GPUs (`llm.tensorParallelSize`), the SLM runs on the last of them. One starts after the other, and both start again when one ends. Where " +
      '`memFractionStatic` is left out, it follows from both models and the memory of a GPU, or is 0.15 and 0.8 where these cannot be read. Whole units are scaled by `slm.replicas`.',
  );

/** Nodes that one replica of the LLM spans. */
export const nodes = z
  .int32()
  .min(1)
  .max(16)
  .default(1)
  .describe(
    'Nodes that one replica is split over, with tensorParallelSize / nodes GPUs on each. Above 1 the LLM runs as a LeaderWorkerSet ' +
      '(`leaderworkerset.x-k8s.io/v1`), which the cluster must have installed.',
  );

export const nodesRules: readonly Rule[] = [
  {
    rule: "self.nodes == 1 || self.engine == 'SGLang'",
    message: 'nodes: the CPU engine does not split a model; leave it out, or set it to 1',
  },
  {
    rule: 'self.nodes == 1 || (has(self.tensorParallelSize) ? self.tensorParallelSize : 2) % self.nodes == 0',
    message: 'nodes: each node gets an equal share of the GPUs; make tensorParallelSize (2 where it is left out) a multiple of nodes',
  },
];

/** What follows from one container for both engines. */
const colocatedRules: readonly (readonly [holds: string, message: string])[] = [
  [
    'self.llm.replicas == 1',
    'llm.replicas: with placement Colocated each pod has its own LLM; leave it at 1, and scale whole units with slm.replicas',
  ],
  ['self.llm.nodes == 1', 'llm.nodes: with placement Colocated a unit is one pod; leave it out, or set placement: Disaggregated'],
  [
    'self.slm.engine == self.llm.engine',
    'llm.engine: with placement Colocated both engines run in one container; set the same engine for slm and llm',
  ],
  [
    '(has(self.slm.tensorParallelSize) ? self.slm.tensorParallelSize : 1) <= (has(self.llm.tensorParallelSize) ? self.llm.tensorParallelSize : 2)',
    "slm.tensorParallelSize: with placement Colocated the SLM runs on some of the LLM's GPUs; make it at most llm.tensorParallelSize",
  ],
  [
    '!has(self.llm.image) || (has(self.slm.image) && self.slm.image == self.llm.image)',
    'llm.image: with placement Colocated both engines run in one container; name its image in slm.image, and leave this out',
  ],
  [
    '!has(self.llm.resources)',
    'llm.resources: with placement Colocated both engines run in one container; write what both need into slm.resources, and leave this out',
  ],
  [
    '!has(self.llm.podTemplate)',
    'llm.podTemplate: with placement Colocated the LLM runs in the SLM pod; use slm.podTemplate, and leave this out',
  ],
  [
    '!has(self.llm.autoscaling)',
    'llm.autoscaling: with placement Colocated each pod has its own LLM; remove it, and scale whole units with slm.replicas',
  ],
];

/** Rules of the whole spec. */
export const placementRules: readonly Rule[] = colocatedRules.map(([holds, message]) => ({
  rule: `self.placement != 'Colocated' || ${parenthesised(holds)}`,
  message,
}));

function parenthesised(expression: string): string {
  return /[&|?]/.test(expression) ? `(${expression})` : expression;
}
