import type { Floor } from './floor.ts';
import type { Idle, Restart } from './idle.ts';
import type { Ours } from './ours.ts';
import type { Peer } from './peer.ts';

export interface OperatorResults {
  readonly machine: string;
  readonly node: string;
  readonly deployments: number;
  readonly readySeconds: number;
  /** Of it, until the last R2RDeployment was applied. */
  readonly readyApplySeconds: number;
  readonly floorSeconds: number;
  readonly floorApplySeconds: number;
  readonly idleWrites: number;
  readonly restartWrites: number;
  readonly idleCpuPercent: number;
  readonly peakMemoryMb: number;
  readonly requestsPerDeployment: number;
  /** Objects below one deployment: made by the operator, and by Kubernetes of those. */
  readonly children: { readonly direct: number; readonly all: number };
  /** All objects below the deployments, those that Kubernetes makes included, a second. */
  readonly objectsPerSecond: number;
  readonly peer?: Peer;
  readonly floor?: Floor;
  readonly ours: Ours;
  readonly idle: Idle;
  readonly restart: Restart;
}

interface Aim {
  readonly what: string;
  readonly value: number;
  readonly sense: '<=' | '>=';
  readonly aim: number;
}

/** What is to be reached, and what was; at 5,000 deployments that it does not break is all that is asked. */
export function aims(results: OperatorResults): readonly (Aim & { readonly met: boolean })[] {
  const { readySeconds, floorSeconds, peer, children } = results;
  const list: Aim[] = [
    { what: 'time until Ready, over the floor', value: readySeconds / floorSeconds, sense: '<=', aim: 1.5 },
    { what: 'writes while nothing changes', value: results.idleWrites, sense: '<=', aim: 0 },
    { what: 'writes of a new operator that finds nothing changed', value: results.restartWrites, sense: '<=', aim: 0 },
    { what: 'peak memory of the operator, MB', value: results.peakMemoryMb, sense: '<=', aim: 256 },
    { what: 'CPU while nothing changes, % of a core', value: results.idleCpuPercent, sense: '<=', aim: 5 },
    {
      what: 'API requests for each object that the operator makes',
      value: results.requestsPerDeployment / children.direct,
      sense: '<=',
      aim: 2,
    },
    ...(peer
      ? [
          {
            what: "objects a second, over the peer's",
            value: results.objectsPerSecond / peer.objectsPerSecond,
            sense: '>=',
            aim: 1,
          } as const,
        ]
      : []),
  ];
  return list.map((each) => ({ ...each, met: each.sense === '<=' ? each.value <= each.aim : each.value >= each.aim }));
}
