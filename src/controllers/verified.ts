import { createHash } from 'node:crypto';
import type { KubeObject, Live } from '../kube/index.ts';

/** Where the present state of children is read. */
export type ReadChild = (child: { readonly apiVersion: string; readonly kind: string; readonly name: string }) => Live | undefined;

interface Seen {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  version: string;
  readonly print: string;
}

/**
 * Remembers which children were found to be as they should be, so that looking at them again costs nothing while neither the wish nor they have
 * changed. A verdict follows from its input and from what of the children the print covers: all but status, which changes often and which
 * nobody here writes. It is lost on a restart, which costs one full look at each deployment.
 */
export class Verified {
  readonly #verdicts = new Map<string, { readonly input: string; readonly children: readonly Seen[] }>();

  /**
   * The children, in the order they were given to `keep`, where all is as it was then; undefined: look again.
   *
   * @param key - whose children
   * @param input - everything that the wish was made from, see {@link digestOf}
   */
  unchanged(key: string, input: string, read: ReadChild): readonly Live[] | undefined {
    const verdict = this.#verdicts.get(key);
    if (verdict?.input !== input) return undefined;
    const children: Live[] = [];
    for (const seen of verdict.children) {
      const live = read(seen);
      if (!live) return undefined;
      const { resourceVersion } = live.metadata;
      if (resourceVersion !== seen.version) {
        if (printOf(live) !== seen.print) return undefined;
        seen.version = resourceVersion;
      }
      children.push(live);
    }
    return children;
  }

  /** These children, as they are, are what the input asks for. Where `read` does not find one of them in this state, nothing is remembered. */
  keep(key: string, input: string, children: readonly Live[], read: ReadChild): void {
    const seen: Seen[] = [];
    for (const { apiVersion, kind, metadata } of children) {
      const { name, resourceVersion: version } = metadata;
      const live = read({ apiVersion, kind, name });
      if (live?.metadata.resourceVersion !== version) {
        this.#verdicts.delete(key);
        return;
      }
      seen.push({ apiVersion, kind, name, version, print: printOf(live) });
    }
    this.#verdicts.set(key, { input, children: seen });
  }

  forget(key: string): void {
    this.#verdicts.delete(key);
  }
}

/** Of everything that a wish is made from. */
export function digestOf(input: unknown): string {
  return createHash('sha1').update(JSON.stringify(input)).digest('base64');
}

function printOf(live: Live<KubeObject & { readonly status?: unknown }>): string {
  const { status: _, metadata, ...rest } = live;
  const { resourceVersion: __, ...lasting } = metadata;
  return digestOf([rest, lasting]);
}
