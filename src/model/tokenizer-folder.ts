import { join } from 'node:path';
import { Tokenizer as HuggingFaceTokenizer } from '@huggingface/tokenizers';
import { z } from 'zod';
import { tokenBytes } from './byte-level.ts';
import { chatTemplateField, loadChatTemplate } from './chat-template.ts';
import { ModelError } from './errors.ts';
import { assertModelFolder, readJson, readOptionalJson } from './model-file.ts';
import type { TextStream, Tokenizer } from './tokenizer.ts';

const tokenizerJson = z.looseObject({
  model: z.looseObject({ type: z.string().optional() }),
  added_tokens: z.array(z.looseObject({ id: z.int().nonnegative(), content: z.string(), special: z.boolean().default(false) })).default([]),
  decoder: z.looseObject({ type: z.string() }).nullish(),
});
const tokenText = z.union([z.string(), z.looseObject({ content: z.string() }).transform(({ content }) => content)]).nullish();
const tokenizerConfig = z.looseObject({
  chat_template: chatTemplateField,
  bos_token: tokenText,
  eos_token: tokenText,
  pad_token: tokenText,
  unk_token: tokenText,
});
const endTokens = z.looseObject({ eos_token_id: z.union([z.int(), z.array(z.int())]).nullish() });

interface Decoding {
  decode(ids: readonly number[]): string;
  stream(): TextStream;
}

/** Byte-level vocabularies: each token is a fixed run of bytes, so text is their concatenation read as UTF-8, whole or piece by piece. */
function byteLevelDecoding(bytesOf: readonly (Uint8Array | undefined)[]): Decoding {
  return {
    decode(ids) {
      const pieces = ids.map((id) => bytesOf[id]).filter((piece) => piece !== undefined);
      return new TextDecoder('utf-8', { ignoreBOM: true }).decode(Buffer.concat(pieces));
    },
    stream() {
      const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
      return { push: (id) => decoder.decode(bytesOf[id] ?? new Uint8Array(), { stream: true }), flush: () => decoder.decode() };
    },
  };
}

/**
 * Any other vocabulary: the library decodes, and a stream emits what one more token adds to the text of the last emitted one. That window
 * keeps the cost per token constant and the space between words right.
 */
function wholeTextDecoding(decodeAll: (ids: number[]) => string): Decoding {
  const decode = (ids: number[]) => (ids.length === 0 ? '' : decodeAll(ids));
  return {
    decode: (ids) => decode([...ids]),
    stream() {
      let window: number[] = [];
      let shown = '';
      const take = (text: string, kept: number[]) => {
        const added = text.slice(shown.length);
        window = kept;
        shown = decode(kept);
        return added;
      };
      return {
        push(id) {
          window.push(id);
          const text = decode(window);
          return text.endsWith('\uFFFD') || text.length <= shown.length ? '' : take(text, [id]);
        },
        flush: () => take(decode(window), []),
      };
    },
  };
}

/** Leaves out the ids of `skipped`, both from a text and from a stream. */
function without(skipped: ReadonlySet<number>, decoding: Decoding): Decoding {
  return {
    decode: (ids) => decoding.decode(ids.filter((id) => !skipped.has(id))),
    stream() {
      const stream = decoding.stream();
      return { push: (id) => (skipped.has(id) ? '' : stream.push(id)), flush: () => stream.flush() };
    },
  };
}

async function readEndIds(folder: string, eosToken: string | undefined, idOf: ReadonlyMap<string, number>): Promise<number[]> {
  const ids = new Set<number>();
  for (const name of ['generation_config.json', 'config.json']) {
    for (const id of [(await readOptionalJson(folder, name, endTokens))?.eos_token_id ?? []].flat()) ids.add(id);
  }
  const id = eosToken === undefined ? undefined : idOf.get(eosToken);
  if (id !== undefined) ids.add(id);
  return [...ids];
}

/**
 * Reads a Hugging Face tokenizer folder: tokenizer.json and, when there, tokenizer_config.json, generation_config.json and chat template.
 * Throws `ModelError` naming the folder or file and the fix.
 */
export async function loadTokenizer(folder: string): Promise<Tokenizer> {
  await assertModelFolder(folder);
  const json = await readJson(folder, 'tokenizer.json', tokenizerJson);
  const config = (await readOptionalJson(folder, 'tokenizer_config.json', tokenizerConfig)) ?? {};
  let library: HuggingFaceTokenizer;
  let idToToken: (string | undefined)[];
  try {
    library = new HuggingFaceTokenizer(json, config);
    idToToken = [];
    for (const [token, id] of library.get_vocab()) idToToken[id] = token;
  } catch (cause) {
    throw new ModelError(
      'MODEL_UNSUPPORTED',
      join(folder, 'tokenizer.json'),
      'this kind of tokenizer cannot be read',
      'use a fast tokenizer (tokenizer.json of a Qwen or Llama model)',
      cause,
    );
  }
  const tokenToId = new Map(idToToken.flatMap((token, id) => (token === undefined ? [] : [[token, id]])));
  const specialIds = json.added_tokens.filter(({ special }) => special).map(({ id }) => id);
  specialIds.sort((a, b) => a - b);

  const bytesOf = byteTable(idToToken, new Set(json.added_tokens.map(({ id }) => id)));
  const isByteLevel = json.decoder?.type === 'ByteLevel';
  const whole = isByteLevel
    ? byteLevelDecoding(bytesOf)
    : wholeTextDecoding((ids) =>
        library.decode(
          ids.filter((id) => idToToken[id] !== undefined),
          { skip_special_tokens: false, clean_up_tokenization_spaces: false },
        ),
      );
  const plain = without(new Set(specialIds), whole);

  const template = await loadChatTemplate(folder, config.chat_template);
  const specialTexts = {
    bos_token: config.bos_token ?? '',
    eos_token: config.eos_token ?? '',
    pad_token: config.pad_token ?? '',
    unk_token: config.unk_token ?? '',
  };
  return {
    length: idToToken.length,
    tokenToId,
    specialIds,
    endIds: await readEndIds(folder, config.eos_token ?? undefined, tokenToId),
    encode: (text, options) =>
      text === '' && options?.addSpecialTokens !== true
        ? []
        : library.encode(text, { add_special_tokens: options?.addSpecialTokens ?? false }).ids,
    decode: (ids, options) => (options?.keepSpecialTokens ? whole : plain).decode(ids),
    tokenBytes: (id) => (isByteLevel ? (bytesOf[id] ?? new Uint8Array()) : new TextEncoder().encode(whole.decode([id]))),
    stream: (options) => (options?.keepSpecialTokens ? whole : plain).stream(),
    applyChatTemplate(messages, variables) {
      if (!template) {
        throw new ModelError(
          'MODEL_FILE_MISSING',
          folder,
          'the model has no chat template',
          'add chat_template.jinja to the folder, or send a plain prompt',
        );
      }
      return template({ ...specialTexts, add_generation_prompt: true, ...variables, messages });
    },
  };
}

function byteTable(tokens: readonly (string | undefined)[], addedIds: ReadonlySet<number>): (Uint8Array | undefined)[] {
  const utf8 = new TextEncoder();
  return tokens.map((token, id) => (token === undefined ? undefined : addedIds.has(id) ? utf8.encode(token) : tokenBytes(token)));
}
