/** Notes down what an informer tells its handlers and its logger. */
import type { Informer, KubeObject, Logger } from '../../src/kube/index.ts';

export class Recorder {
  /** `add x`, `update x 1->2`, `delete x uid`. */
  readonly heard: string[] = [];

  constructor(informer: Informer<KubeObject>) {
    informer.addHandler({
      onAdd: ({ metadata }) => this.heard.push(`add ${metadata.name} ${metadata.uid}`),
      onUpdate: (before, after) =>
        this.heard.push(`update ${after.metadata.name} ${before.metadata.resourceVersion}->${after.metadata.resourceVersion}`),
      onDelete: ({ metadata }) => this.heard.push(`delete ${metadata.name} ${metadata.uid}`),
    });
  }
}

/** Keeps every line at warn and error. */
export function complaints(): { readonly lines: string[]; readonly logger: Logger } {
  const lines: string[] = [];
  const add = (fields: object, message: string): void => {
    lines.push(`${message} ${'err' in fields ? String(fields.err) : ''}`);
  };
  const logger: Logger = { debug: () => undefined, info: () => undefined, warn: add, error: add, child: () => logger };
  return { lines, logger };
}
