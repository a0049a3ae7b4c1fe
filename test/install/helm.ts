import { join } from 'node:path';
import { parseAllDocuments } from 'yaml';
import { run } from '../cluster/commands.ts';
import { goTool, goTools } from '../support/go/go-tool.ts';
import type { InstalledObject } from '../../tools/install/objects.ts';
import { temporaryFolder } from './temporary-folder.ts';

export const helmVersions = [3, 4] as const;
export type HelmVersion = (typeof helmVersions)[number];

/** Helm with a home of its own, so that nothing of whoever runs the tests is read or changed. */
export class Helm {
  readonly #program: string;
  readonly #environment: NodeJS.ProcessEnv;

  private constructor(program: string, kubeconfig: string | undefined) {
    this.#program = program;
    const home = temporaryFolder('r2r-helm-');
    const folders = Object.fromEntries(['CACHE', 'CONFIG', 'DATA'].map((name) => [`HELM_${name}_HOME`, join(home, name.toLowerCase())]));
    // An address where nothing listens: a template must not ask a cluster, least of all that of whoever runs the tests.
    this.#environment = { PATH: process.env.PATH, HOME: home, ...folders, KUBECONFIG: kubeconfig ?? join(home, 'no-cluster') };
  }

  /** Builds it first where it is missing: about four minutes on two cores, once. */
  static async of(version: HelmVersion, kubeconfig?: string): Promise<Helm> {
    return new Helm(await goTool(goTools[`helm${version}`]), kubeconfig);
  }

  /** Standard output. Throws {@link CommandError}. */
  run(args: readonly string[]): Promise<string> {
    return run(this.#program, args, { env: this.#environment, timeoutMs: 180_000 });
  }

  /** What `helm template` renders of the chart, as objects. */
  async template(chart: string, ...args: readonly string[]): Promise<readonly InstalledObject[]> {
    const text = await this.run(['template', 'r2r', chart, '--namespace', 'r2r-system', ...args]);
    return parseAllDocuments(text).flatMap((document) => (document.toJSON() as InstalledObject | null) ?? []);
  }
}
