import { FetchError } from '../fetch/errors.ts';

/** What servers and routers read of a model folder besides its weights. Code, pictures and pickles are none of it. */
const otherFiles = new Set([
  'config.json',
  'generation_config.json',
  'tokenizer.json',
  'tokenizer_config.json',
  'special_tokens_map.json',
  'added_tokens.json',
  'vocab.json',
  'merges.txt',
  'tokenizer.model',
  'chat_template.jinja',
  'chat_template.json',
  'preprocessor_config.json',
  // how weights are quantised, where config.json does not say it
  'quantize_config.json',
  'quant_config.json',
  'hf_quant_config.json',
]);
const indexFile = 'model.safetensors.index.json';
const shardForm = /^model-(\d{5})-of-(\d{5})\.safetensors$/;

/**
 * Chooses the files of a repository that are needed to serve its model: configuration, tokenizer, chat template and safetensors, of the top
 * folder. A repository may hold the same weights several times; those under the names that transformers writes are taken, as shards where there
 * is an index. Pickles (`.bin`, `.pt`, `.pth`, `.ckpt`) are never chosen: whoever loads one runs what is in it.
 *
 * @param paths of all files of the repository
 * @throws FetchError `FETCH_UNSUPPORTED` where there is no model that could be served
 */
export function chooseFiles(paths: readonly string[], uri: string): readonly string[] {
  const top = paths.filter((path) => /^[\w][\w.-]{0,200}$/.test(path));
  const weights = chooseWeights(top, uri);
  const missing = ['config.json', 'tokenizer.json'].filter((name) => !top.includes(name));
  if (missing.length > 0) {
    const fix =
      missing[0] === 'config.json'
        ? 'name a repository of a whole model, not of an adapter or a data set'
        : 'name a repository with a fast tokenizer (tokenizer.json)';
    throw unsupported(uri, `the repository has no ${missing.join(' and no ')}`, fix);
  }
  return [...top.filter((path) => otherFiles.has(path)), ...weights].sort();
}

function chooseWeights(top: readonly string[], uri: string): readonly string[] {
  const shards = top.filter((path) => shardForm.test(path));
  if (shards.length > 0 && top.includes(indexFile)) {
    assertComplete(shards, uri);
    return [indexFile, ...shards];
  }
  if (top.includes('model.safetensors')) return ['model.safetensors'];
  const others = top.filter((path) => path.endsWith('.safetensors') && !/^(adapter_|consolidated)/.test(path));
  if (others.length > 0) return others;
  const pickles = top.some((path) => /\.(bin|pt|pth|ckpt)$/.test(path));
  if (pickles)
    throw unsupported(
      uri,
      'the repository has pickles (.bin) only, and whoever loads one runs what is in it',
      'name a revision with safetensors',
    );
  throw unsupported(uri, 'the repository has no safetensors', 'name a repository of a whole model in that format');
}

/** A name says how many shards there are. */
function assertComplete(shards: readonly string[], uri: string): void {
  const counts = shards.map((path) => shardForm.exec(path)?.[2] ?? '');
  const [count = ''] = counts;
  const numbers = new Set(shards.map((path) => Number(shardForm.exec(path)?.[1])));
  if (counts.every((each) => each === count) && numbers.size === Number(count)) return;
  throw unsupported(
    uri,
    `the repository has ${shards.length} of ${Number(count)} shards of the weights`,
    'name a revision that is complete',
  );
}

function unsupported(uri: string, problem: string, fix: string): FetchError {
  return new FetchError('FETCH_UNSUPPORTED', uri, problem, fix);
}
