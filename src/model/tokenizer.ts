/** One message of a chat, as OpenAI's API has it. Content is plain text in this version. */
export interface ChatMessage {
  readonly role: string;
  readonly content: string;
}

/** Turns token ids into text one by one; text of an unfinished UTF-8 sequence is held back until it is whole. */
export interface TextStream {
  /** Text that became certain with this token; may be empty. */
  push(tokenId: number): string;
  /** What is still held back (an unfinished sequence becomes U+FFFD). */
  flush(): string;
}

/** A Hugging Face tokenizer folder (tokenizer.json, tokenizer_config.json, generation_config.json, chat template). */
export interface Tokenizer {
  /** Highest id the tokenizer knows (added tokens included) plus one; may be below the model's padded `vocab_size`. */
  readonly length: number;
  /** Every token with its id, special tokens included: equal maps mean one vocabulary. */
  readonly tokenToId: ReadonlyMap<string, number>;
  /** Ids that the tokenizer marks as special, ascending. */
  readonly specialIds: readonly number[];
  /** End-of-sequence ids: those of generation_config.json, of config.json and the tokenizer's own `eos_token`, as SGLang does. */
  readonly endIds: readonly number[];
  /** Text to ids; special tokens in the text are recognised, none is added unless asked for (Llama's tokenizers then put `bos` in front). */
  encode(text: string, options?: { readonly addSpecialTokens?: boolean }): number[];
  /** Ids to text. Special tokens are left out unless asked for; ids the tokenizer does not know give no text; broken UTF-8 gives U+FFFD. */
  decode(ids: readonly number[], options?: { readonly keepSpecialTokens?: boolean }): string;
  /** The bytes one token stands for; for vocabularies that are not byte-level the UTF-8 text of the token. Empty for unknown ids. */
  tokenBytes(id: number): Uint8Array;
  stream(options?: { readonly keepSpecialTokens?: boolean }): TextStream;
  /**
   * Renders the folder's chat template with `add_generation_prompt: true`; `variables` are handed to the template (`enable_thinking`, …).
   * Throws `ModelError` when the folder has no chat template, and the template's own error when it refuses these messages.
   */
  applyChatTemplate(messages: readonly ChatMessage[], variables?: Readonly<Record<string, unknown>>): string;
}
