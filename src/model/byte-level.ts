/**
 * GPT-2's byte-level alphabet: every byte has one printable character. Printable Latin-1 stands for itself, the other bytes follow
 * from U+0100 on in ascending order.
 */
const byteOfCharacter: ReadonlyMap<string, number> = (() => {
  const printable = (byte: number) => (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
  const map = new Map<string, number>();
  let next = 0x100;
  for (let byte = 0; byte < 256; byte++) map.set(String.fromCodePoint(printable(byte) ? byte : next++), byte);
  return map;
})();

const utf8 = new TextEncoder();

/** The bytes a token of a byte-level vocabulary stands for; a token with characters outside the alphabet is its own UTF-8 text. */
export function tokenBytes(token: string): Uint8Array {
  const bytes: number[] = [];
  for (const character of token) {
    const byte = byteOfCharacter.get(character);
    if (byte === undefined) return utf8.encode(token);
    bytes.push(byte);
  }
  return Uint8Array.from(bytes);
}
