import type { Tokenizer } from '../../model/tokenizer.ts';

/** Characters whose tokens are remembered. */
const rememberedCharacters = 4_000_000;
/** Where a text is cut: behind a new line, before what is not blank. Byte-level tokenizers begin a word there anyway. */
const lineStart = /(?<=\n)(?=\S)/u;

const encoders = new WeakMap<Tokenizer, (text: string) => number[]>();

/**
 * A tokenizer that remembers lines: hundreds of prompts about one response have most of it in common, and tokenising all of it each time takes
 * longer than the verifier needs to judge. Tokenizers that begin a text in another way than a line are left as they are.
 */
export function lineEncoder(tokenizer: Tokenizer): (text: string) => number[] {
  let encoder = encoders.get(tokenizer);
  if (!encoder) encoders.set(tokenizer, (encoder = make(tokenizer)));
  return encoder;
}

function make(tokenizer: Tokenizer): (text: string) => number[] {
  const [whole, parts] = [tokenizer.encode('So\nhe'), [...tokenizer.encode('So\n'), ...tokenizer.encode('he')]];
  if (whole.join() !== parts.join()) return (text) => tokenizer.encode(text);
  const known = new Map<string, readonly number[]>();
  let characters = 0;
  return (text) => {
    const ids: number[] = [];
    for (const line of text.split(lineStart)) {
      let encoded = known.get(line);
      if (!encoded) {
        encoded = tokenizer.encode(line);
        if (characters > rememberedCharacters) {
          known.clear();
          characters = 0;
        }
        known.set(line, encoded);
        characters += line.length;
      }
      for (const id of encoded) ids.push(id);
    }
    return ids;
  };
}
