import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** Tokens behind the 256 bytes: two merges, so that stop strings cross borders, and the special ones. */
const merges = ['H e', 'l l', 'o Ġ'];
const specials = ['<|im_start|>', '<|im_end|>', '<think>', '</think>'];

export const vocabulary = {
  length: 256 + merges.length + specials.length,
  /** Padded, as real models are. */
  vocabSize: 272,
  start: 256 + merges.length,
  end: 256 + merges.length + 1,
  openThink: 256 + merges.length + 2,
  closeThink: 256 + merges.length + 3,
};

/** The printable character that byte-level BPE writes for a byte. */
function characterOf(byte: number): string {
  const printable = (b: number): boolean => (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
  if (printable(byte)) return String.fromCharCode(byte);
  let shift = 0;
  for (let b = 0; b < byte; b++) if (!printable(b)) shift++;
  return String.fromCharCode(256 + shift);
}

const template =
  "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}" +
  "{% if messages[0]['content'] == 'refuse me' %}{{ raise_exception('not this one') }}{% endif %}" +
  '<|im_start|>assistant\n{% if enable_thinking %}<think>{% endif %}';

/** Writes a Hugging Face folder with a byte-level tokenizer with think tags, a chat template and a config, but no weights. */
export async function writeModelFolder(
  folder: string,
  options: { readonly endIds?: readonly number[]; readonly vocabSize?: number; readonly rename?: Readonly<Record<string, string>> } = {},
): Promise<string> {
  await mkdir(folder, { recursive: true });
  const tokens = [...Array.from({ length: 256 }, (_, byte) => characterOf(byte)), ...merges.map((merge) => merge.replace(' ', ''))];
  const added = specials.map((content, index) => ({
    id: vocabulary.start + index,
    content: options.rename?.[content] ?? content,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
    special: index < 2,
  }));
  const write = (name: string, value: unknown): Promise<void> => writeFile(join(folder, name), JSON.stringify(value));
  await write('tokenizer.json', {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: added,
    normalizer: null,
    pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: false, use_regex: false },
    post_processor: null,
    decoder: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: false, use_regex: false },
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      vocab: Object.fromEntries(tokens.map((token, id) => [options.rename?.[token] ?? token, id])),
      merges,
    },
  });
  await write('tokenizer_config.json', { tokenizer_class: 'PreTrainedTokenizerFast', eos_token: '<|im_end|>', chat_template: template });
  await write('generation_config.json', { eos_token_id: options.endIds ?? [vocabulary.end] });
  await write('config.json', { model_type: 'qwen2', vocab_size: options.vocabSize ?? vocabulary.vocabSize, max_position_embeddings: 4096 });
  return folder;
}
