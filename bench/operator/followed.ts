import { Informer } from '../../src/kube/index.ts';
import type { KubeClient, KubeObject, Live, ResourceType } from '../../src/kube/index.ts';
import { pause } from '../../src/kube/clock.ts';
import { duration, type Progress } from '../../test/cluster/progress.ts';

export interface Wait<T extends KubeObject> {
  readonly what: string;
  readonly count: number;
  readonly timeoutMs: number;
  /** Only objects that this holds for count at all. */
  readonly counts: (object: Live<T>) => boolean;
  readonly isDone: (object: Live<T>) => boolean;
  readonly progress: Progress;
}

/** A watch that counts: how many objects are where they should be. Opened before the first is made. */
export class Followed<T extends KubeObject> implements AsyncDisposable {
  readonly #informer: Informer<T>;
  readonly #wait: Wait<T>;
  readonly #done = new Set<string>();
  /** When the last of them got there, by performance.now(). */
  #lastAt = 0;

  private constructor(informer: Informer<T>, wait: Wait<T>) {
    this.#informer = informer;
    this.#wait = wait;
    const look = (object: Live<T>): void => {
      if (!wait.counts(object)) return;
      const { uid } = object.metadata;
      if (!wait.isDone(object)) this.#done.delete(uid);
      else if (!this.#done.has(uid)) {
        this.#done.add(uid);
        this.#lastAt = performance.now();
      }
    };
    informer.addHandler({ onAdd: look, onUpdate: (_, after) => look(after), onDelete: ({ metadata }) => this.#done.delete(metadata.uid) });
  }

  static async open<T extends KubeObject>(client: KubeClient, type: ResourceType<T>, wait: Wait<T>): Promise<Followed<T>> {
    const informer = new Informer(client, type, { timing: { resyncMs: 3_600_000 } });
    const followed = new Followed(informer, wait);
    informer.start();
    await informer.waitForSync(AbortSignal.timeout(60_000));
    return followed;
  }

  get doneCount(): number {
    return this.#done.size;
  }

  /** Resolves to when the last one got there; the clock is performance.now(). Throws after `timeoutMs`. */
  async all(): Promise<number> {
    const { what, count, timeoutMs, progress } = this.#wait;
    const started = performance.now();
    let saidAt = started;
    while (this.#done.size < count) {
      const now = performance.now();
      if (now - started > timeoutMs) throw new Error(`${this.#done.size} of ${count} ${what} after ${duration(timeoutMs)}`);
      if (now - saidAt >= 10_000) {
        progress(`${this.#done.size} of ${count} ${what}`);
        saidAt = now;
      }
      await pause(50);
    }
    return this.#lastAt;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#informer.stop();
  }
}
