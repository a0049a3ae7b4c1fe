import type { ServerInfo } from '../sglang/index.ts';

/**
 * Oldest SGLang that routing works with: earlier ones hand out hidden states of other requests where a prefix is cached, and some of them die
 * of requests with and without hidden states in one batch.
 */
const minimumVersion = [0, 5, 17] as const;

export interface ServerVerdict {
  /** What keeps the server from being used, each with its fix, in plain words. */
  readonly refusals: readonly string[];
  /** What only makes it slower, or could not be seen. */
  readonly warnings: readonly string[];
}

/**
 * Whether a model server is started in a way that token-level routing can work with. Fields that a server leaves out are taken for fine: it
 * may be of another make, or a build from source without a version.
 *
 * @param needs what will be asked of it
 */
export function judgeServer(info: ServerInfo, needs: { readonly hiddenStates: boolean }): ServerVerdict {
  const refusals: string[] = [];
  const warnings: string[] = [];
  const minimum = minimumVersion.join('.');
  const version = readVersion(info.version);
  if (!version) warnings.push(`it does not say its SGLang version; it must be ${minimum} or later`);
  else if (isBelow(version, minimumVersion))
    refusals.push(`it runs SGLang ${version.join('.')}, whose hidden states can be of another request; use ${minimum} or later`);
  if (needs.hiddenStates && !returnsHiddenStates(info))
    refusals.push('it returns no hidden states, which the router network looks at; start it with --enable-return-hidden-states');
  if (info.disable_radix_cache)
    refusals.push('it has no prefix cache, and would read the whole text again for every token; start it without --disable-radix-cache');
  if (info.is_embedding) refusals.push('it makes embeddings, no tokens; start it without --is-embedding');
  if (info.disaggregation_mode && info.disaggregation_mode !== 'null')
    refusals.push(`it does only half of the work (${info.disaggregation_mode}); start it without --disaggregation-mode`);
  if (changesSampling(info.preferred_sampling_params))
    refusals.push('it changes the sampling of every request; start it without --preferred-sampling-params');
  const { page_size: pageSize, dp_size: dpSize } = info;
  if (pageSize && pageSize > 1)
    warnings.push(
      `it caches prefixes in pages of ${pageSize} tokens and reads up to ${pageSize - 1} again for every call; --page-size 1 is faster`,
    );
  if (dpSize && dpSize > 1)
    warnings.push(`it has ${dpSize} ranks with a prefix cache each, which a conversation often misses; use replicas instead`);
  return { refusals, warnings };
}

type Version = readonly [number, number, number];

/** @returns undefined where none is given, or 0.0.0, as builds from a source tree without tags call themselves */
function readVersion(text: string | null | undefined): Version | undefined {
  const [, major, minor, patch = '0'] = /^v?(\d+)\.(\d+)(?:\.(\d+))?/.exec(text ?? '') ?? [];
  const version = [Number(major), Number(minor), Number(patch)] as const;
  return major === undefined || version.every((part) => part === 0) ? undefined : version;
}

function isBelow(version: Version, minimum: Version): boolean {
  const index = version.findIndex((part, at) => part !== minimum[at]);
  return index >= 0 && (version[index] ?? 0) < (minimum[index] ?? 0);
}

/** Mode `last` refuses what the router asks for. */
function returnsHiddenStates({ enable_return_hidden_states: flag, return_hidden_states_mode: mode }: ServerInfo): boolean {
  if (mode === 'last') return false;
  return flag ?? (mode == null || mode === 'full');
}

function changesSampling(value: unknown): boolean {
  if (typeof value === 'string') return !['', '{}', 'null'].includes(value.trim());
  return typeof value === 'object' && value !== null && Object.keys(value).length > 0;
}
