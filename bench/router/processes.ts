import { execFile, fork, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { RouterConfigInput } from '../../src/api/router-config.ts';
import type { RouterStatus } from '../../src/api/router-status.ts';
import { routerNodeFlags } from '../router-image.ts';
import type { BenchModel } from './model.ts';
import type { NetworkTime } from './network-times.ts';
import type { Reading } from './instruments.ts';
import type { Order, Report, ServeOptions } from './serve.ts';

const here = import.meta.dirname;
/** As in the router's image. */
const routerEnvironment = { ...process.env, GLIBC_TUNABLES: 'glibc.malloc.hugetlb=1:glibc.malloc.arena_max=2' };
const children = new Set<ChildProcess>();

/** Starts an emulated engine. @returns its URL */
export async function startEmulatedEngine(role: 'slm' | 'llm', stepMs: number, callOverheadMs: number): Promise<string> {
  const child = spawn(process.execPath, [join(here, 'engine.ts'), role, String(stepMs), String(callOverheadMs)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  children.add(child);
  const [port] = (await once(child.stdout, 'data')) as [Buffer];
  return `http://127.0.0.1:${port.toString().trim()}`;
}

/** The router in its own process. */
export class ServedRouter {
  readonly #child: ChildProcess;
  readonly url: string;
  readonly #adminUrl: string;

  private constructor(child: ChildProcess, urls: { readonly url: string; readonly adminUrl: string }) {
    this.#child = child;
    this.url = urls.url;
    this.#adminUrl = urls.adminUrl;
  }

  static async start(options: ServeOptions): Promise<ServedRouter> {
    const child = fork(join(here, 'serve.ts'), [JSON.stringify(options)], {
      execArgv: [...process.execArgv, ...routerNodeFlags],
      env: routerEnvironment,
    });
    children.add(child);
    const [urls] = (await once(child, 'message')) as [{ readonly url: string; readonly adminUrl: string }];
    return new ServedRouter(child, urls);
  }

  async configure(config: RouterConfigInput): Promise<void> {
    await this.#order({ type: 'configure', config });
    for (;;) {
      const { waitingFor, lookahead, bundle } = await this.status();
      if (waitingFor.length === 0 && lookahead === config.lookahead && bundle?.state === 'Serving') return;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  async status(): Promise<RouterStatus> {
    return (await (await fetch(`${this.#adminUrl}/r2r/status`)).json()) as RouterStatus;
  }

  async reset(): Promise<void> {
    await this.#order({ type: 'reset' });
  }

  async read(): Promise<Reading> {
    const answer = await this.#order({ type: 'read' });
    if (!('reading' in answer)) throw new TypeError('the router process gave no reading');
    return answer.reading;
  }

  stop(): void {
    this.#child.kill();
    children.delete(this.#child);
  }

  async #order(order: Order): Promise<Report> {
    const answer = once(this.#child, 'message');
    this.#child.send(order);
    return ((await answer) as [Report])[0];
  }
}

/** The router network on one core, by batch. */
export async function measureNetwork({ bundleFolder, slmFolder }: BenchModel): Promise<readonly NetworkTime[]> {
  const { stdout } = await promisify(execFile)(process.execPath, [join(here, 'network-times.ts'), bundleFolder, slmFolder], {
    env: routerEnvironment,
  });
  return JSON.parse(stdout) as readonly NetworkTime[];
}

export function stopAll(): void {
  for (const child of children) child.kill();
}
