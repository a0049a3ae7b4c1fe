/** The package's own declarations use imports without extensions, which TypeScript cannot resolve here; this is the part we call. */
declare module '@huggingface/tokenizers' {
  export class Tokenizer {
    constructor(tokenizer: object, config: object);
    encode(text: string, options?: { readonly add_special_tokens?: boolean }): { readonly ids: number[] };
    /** Throws on an empty list. */
    decode(ids: number[], options?: { readonly skip_special_tokens?: boolean; readonly clean_up_tokenization_spaces?: boolean }): string;
    /** Every token with its id, added tokens included. */
    get_vocab(): Map<string, number>;
  }
}
