/** A world of pods for properties of the roll-out: what the operator would do with each decision, and what a cluster would do with that. */
import type { RolloutStrategy } from '../../src/api/rollout-spec.ts';
import { mayStart, rolloutStep, rolloutTarget } from '../../src/controllers/rollout.ts';
import type { RevisionState, RolloutStep } from '../../src/controllers/rollout.ts';

export const revisionNames = ['a', 'b', 'c'] as const;

type Phase = 'pending' | 'ready' | 'ending';
type Role = 'slm' | 'llm';

/** A Deployment of one pod; `wanted` is undefined when the Deployment is not there. */
interface Half {
  wanted: 0 | 1 | undefined;
  pod: Phase | undefined;
}

export type Happening =
  | { readonly kind: 'spec'; readonly revision: string }
  | { readonly kind: 'strategy'; readonly strategy: RolloutStrategy }
  | { readonly kind: 'pod'; readonly pick: number; readonly breaks: boolean }
  | { readonly kind: 'pods' }
  | { readonly kind: 'step'; readonly probeWorks: boolean };

export interface Decided {
  readonly step: RolloutStep;
  readonly target: string;
  readonly probed: boolean;
  /** Whether anything was there of the revision that served. */
  readonly hadChildren: boolean;
}

export class SimulatedRollout {
  strategy: RolloutStrategy = 'Surge';
  serving: string | undefined;
  /** False once an LLM was told to go while a router of its revision was there. */
  llmOutlivesRouters = true;
  #wanted = 'a';
  readonly #revisions = new Map<string, Record<Role, Half>>();
  readonly #broken: ReadonlySet<string>;
  readonly #room: number;

  /** @param broken - revisions that never become ready @param room - LLM pods that the cluster has room for */
  constructor(broken: ReadonlySet<string>, room: number) {
    this.#broken = broken;
    this.#room = room;
  }

  happen(event: Happening): Decided | undefined {
    if (event.kind === 'spec') this.#wanted = event.revision;
    else if (event.kind === 'strategy') this.strategy = event.strategy;
    else if (event.kind === 'pod') this.#podEvent(event.pick, event.breaks);
    else if (event.kind === 'pods') this.#advanceAll();
    else return this.#reconcile(event.probeWorks);
    return undefined;
  }

  /** One round in which everything that can go on does: a step of the operator, then every pod. */
  settle(): void {
    this.#reconcile(true);
    this.#advanceAll();
  }

  withPods(): string[] {
    return [...this.#revisions].filter(([, { slm, llm }]) => slm.pod ?? llm.pod).map(([name]) => name);
  }

  withChildren(): string[] {
    return [...this.#revisions]
      .filter(([, halves]) => Object.values(halves).some(({ wanted, pod }) => wanted !== undefined || pod !== undefined))
      .map(([name]) => name);
  }

  readonly complete = (name: string): boolean => {
    const { slm, llm } = this.#of(name);
    return [slm, llm].every(({ wanted, pod }) => wanted === 1 && pod === 'ready');
  };

  #reconcile(probeWorks: boolean): Decided {
    const wanted = this.#wanted;
    const before = this.#states(wanted);
    const target = rolloutTarget(this.strategy, wanted, this.serving, before);
    const count = mayStart(this.strategy, target, before) ? 1 : 0;
    for (const half of Object.values(this.#of(target))) this.#scale(half, count);
    const revisions = this.#states(target);
    const input = { strategy: this.strategy, target, wantsRouters: true, serving: this.serving, revisions };
    const asked = rolloutStep({ ...input, probed: false });
    const probed = asked.probe && probeWorks;
    const step = asked.probe ? rolloutStep({ ...input, probed }) : asked;
    const hadChildren = this.serving !== undefined && this.withChildren().includes(this.serving);
    this.serving = step.serve;
    for (const { revision, what } of step.retire) this.#retire(revision, what);
    return { step, target, probed, hadChildren };
  }

  #retire(name: string, what: 'routers' | 'everything'): void {
    const { slm, llm } = this.#of(name);
    this.#scale(slm, undefined);
    if (what === 'routers') return;
    if (slm.pod !== undefined) this.llmOutlivesRouters = false;
    this.#scale(llm, undefined);
  }

  /** The Deployment's controller: the pod that is ending stays until it has ended. */
  #scale(half: Half, wanted: 0 | 1 | undefined): void {
    half.wanted = wanted;
    if (wanted === 1) half.pod ??= 'pending';
    else if (half.pod !== undefined) half.pod = 'ending';
  }

  #advanceAll(): void {
    this.#eachPod((name, role, half) => this.#advance(name, role, half));
  }

  #podEvent(pick: number, breaks: boolean): void {
    const pods: [string, Role, Half][] = [];
    this.#eachPod((name, role, half) => pods.push([name, role, half]));
    const [name, role, half] = pods[pick % Math.max(1, pods.length)] ?? [];
    if (!half || name === undefined || role === undefined) return;
    if (half.pod === 'ready' && breaks) half.pod = 'pending';
    else this.#advance(name, role, half);
  }

  #advance(name: string, role: Role, half: Half): void {
    if (half.pod === 'ending') {
      half.pod = half.wanted === 1 ? 'pending' : undefined;
      return;
    }
    const { llm } = this.#of(name);
    const others = [...this.#revisions].filter(([other, each]) => other !== name && each.llm.pod !== undefined).length;
    const fits = role === 'slm' || others < this.#room;
    const isFed = role === 'llm' || llm.pod === 'ready';
    if (half.pod === 'pending' && fits && isFed && !this.#broken.has(name)) half.pod = 'ready';
  }

  #eachPod(visit: (name: string, role: Role, half: Half) => void): void {
    for (const [name, { slm, llm }] of this.#revisions) {
      if (llm.pod !== undefined) visit(name, 'llm', llm);
      if (slm.pod !== undefined) visit(name, 'slm', slm);
    }
  }

  #states(target: string): RevisionState[] {
    return [...new Set([target, ...this.withChildren()])].map((revision) => {
      const { slm, llm } = this.#of(revision);
      return {
        revision,
        complete: this.complete(revision),
        routerPods: slm.pod === undefined ? 0 : 1,
        made: slm.wanted !== undefined,
        started: [slm, llm].some(({ wanted, pod }) => wanted === 1 || pod !== undefined),
      };
    });
  }

  #of(name: string): Record<Role, Half> {
    let halves = this.#revisions.get(name);
    if (!halves)
      this.#revisions.set(name, (halves = { slm: { wanted: undefined, pod: undefined }, llm: { wanted: undefined, pod: undefined } }));
    return halves;
  }
}
