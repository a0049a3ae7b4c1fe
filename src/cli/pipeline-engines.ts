import { PipelineError } from '../pipeline/errors.ts';
import type { EngineRole, StepEngine } from '../pipeline/step.ts';
import { loadTokenizer } from '../model/tokenizer-folder.ts';
import { readModelFacts } from '../router/model-folder.ts';
import { SglangClient } from '../sglang/index.ts';
import { UsageError } from './command.ts';

/** What a command line says of one role. */
export interface EngineFlags {
  readonly role: EngineRole;
  /** Undefined where only the model's folder is given, as for the SLM while the LLM answers. */
  readonly url: string | undefined;
  readonly folder: string;
}

const roles: readonly EngineRole[] = ['slm', 'llm', 'verifier'];

/** `--engine ROLE=URL` and `--model ROLE=FOLDER`. @throws UsageError naming the flag */
export function engineFlags(engines: readonly string[] = [], models: readonly string[] = []): readonly EngineFlags[] {
  const urls = byRole('engine', 'URL', engines);
  const folders = byRole('model', 'FOLDER', models);
  for (const [role, url] of urls) {
    if (!/^https?:\/\/[^/]+/.test(url)) throw new UsageError(`--engine ${role} must be http://HOST:PORT, got "${url}"`);
    if (!folders.has(role)) throw new UsageError(`--model ${role}=FOLDER is missing: the folder of the model that ${url} serves`);
  }
  return [...folders].map(([role, folder]) => ({ role, folder, url: urls.get(role) }));
}

/** @throws ModelError, or Error, naming a model's folder that cannot be read */
export async function openEngines(flags: readonly EngineFlags[]): Promise<Readonly<Partial<Record<EngineRole, StepEngine>>>> {
  const opened: Partial<Record<EngineRole, StepEngine>> = {};
  for (const { role, url, folder } of flags) {
    const tokenizer = await loadTokenizer(folder);
    const { vocabSize } = await readModelFacts(folder);
    const client = url === undefined ? new NoServer(role, vocabSize) : new SglangClient({ url, vocabSize });
    opened[role] = { role, url: client.url, client, tokenizer, modelFolder: folder };
  }
  return opened;
}

/** Stands for the server of a model of which only the folder is given. */
class NoServer extends SglangClient {
  readonly #role: EngineRole;

  constructor(role: EngineRole, vocabSize: number) {
    super({ url: '', vocabSize });
    this.#role = role;
  }

  override generate(): Promise<never> {
    return this.#refuse();
  }

  override prefill(): Promise<never> {
    return this.#refuse();
  }

  override serverInfo(): Promise<never> {
    return this.#refuse();
  }

  override contextLength(): Promise<never> {
    return this.#refuse();
  }

  #refuse(): Promise<never> {
    const problem = `the ${this.#role} has no server`;
    const fix = `give its address with --engine ${this.#role}=URL`;
    return Promise.reject(new PipelineError('PIPELINE_PARAMS', problem, fix, { field: `engines.${this.#role}` }));
  }
}

function byRole(flag: string, what: string, given: readonly string[]): ReadonlyMap<EngineRole, string> {
  const found = new Map<EngineRole, string>();
  for (const text of given) {
    const [, name, value = ''] = /^([^=]+)=(.+)$/s.exec(text) ?? [];
    const role = roles.find((each) => each === name);
    if (!role) throw new UsageError(`--${flag} must be ROLE=${what} with ROLE one of ${roles.join(', ')}, got "${text}"`);
    if (found.has(role)) throw new UsageError(`--${flag} ${role} is given twice`);
    found.set(role, value);
  }
  return found;
}
