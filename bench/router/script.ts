/**
 * The conversations that the emulated engines hold: at each position the SLM says one token, which is divergent or not, and the LLM says
 * the same or another. A pure function of the sequence's first tokens and the position, so that both engines and the bench know it.
 */

/** Ids below this are in both tokenizers of the example models. */
const [firstCertain, certainIds] = [10, 180];
const [firstDivergent, divergentIds] = [200, 200];

/** Share of the divergent tokens at which the LLM says what the SLM says: facts of the published pair. */
const agreement = 0.5;

/** A prompt that tells the engines which conversation it is and how many in a thousand of its tokens are divergent. */
export function promptOf(conversation: number, divergentPerMille: number): number[] {
  const tail = Array.from({ length: 60 }, (_, index) => 20 + index);
  return [
    10 + Math.floor(divergentPerMille / 100),
    10 + (divergentPerMille % 100),
    10 + (conversation % 400),
    10 + Math.floor(conversation / 400),
    ...tail,
  ];
}

/**
 * So many conversations with the wanted share of divergent tokens, half of them agreeing, among their first `tokens`: runs of seconds meet so few
 * divergent tokens that runs of any conversations would differ by a tenth.
 */
export function conversationsLike(divergentPerMille: number, tokens: number, count: number): readonly (readonly number[])[] {
  const found: (readonly number[])[] = [];
  const wanted = (divergentPerMille / 1000) * tokens;
  const near = (value: number, aim: number): boolean => Math.abs(value - aim) <= 0.02 * wanted + 0.5;
  for (let conversation = 0; found.length < count; conversation++) {
    const prompt = promptOf(conversation, divergentPerMille);
    const said = Array.from({ length: tokens }, (_, index) => positionAt(prompt, prompt.length + index)).filter(
      ({ divergent }) => divergent,
    );
    if (near(said.length, wanted) && near(said.filter(({ slm, llm }) => slm === llm).length, said.length / 2)) found.push(prompt);
  }
  return found;
}

export interface Position {
  readonly slm: number;
  readonly llm: number;
  readonly divergent: boolean;
}

export function isDivergent(id: number): boolean {
  return id >= firstDivergent;
}

/** What both models say at `index` of a sequence. */
export function positionAt(ids: readonly number[], index: number): Position {
  const draw = (stream: number): number => mix((ids[2] ?? 0) * 1009 + (ids[3] ?? 0) * 7919, index, stream);
  const share = ((ids[0] ?? 10) - 10) / 10 + ((ids[1] ?? 10) - 10) / 1000;
  const divergent = draw(0) / 2 ** 32 < share;
  const slm = divergent ? firstDivergent + (draw(1) % divergentIds) : firstCertain + (draw(1) % certainIds);
  const agrees = !divergent || draw(2) / 2 ** 32 < agreement;
  return { slm, llm: agrees ? slm : firstCertain + (draw(3) % certainIds), divergent };
}

/** 32 well-mixed bits. */
function mix(...values: readonly number[]): number {
  let h = 2166136261;
  for (const value of values) h = Math.imul(h ^ value, 16777619) >>> 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b) >>> 0;
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35) >>> 0;
  return (h ^ (h >>> 16)) >>> 0;
}
