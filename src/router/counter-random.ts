const [multiplier0, multiplier1] = [0xd2511f53, 0xcd9e8d57];
const [weyl0, weyl1] = [0x9e3779b9, 0xbb67ae85];

/** High 32 bits of the product of two unsigned 32-bit numbers. */
function high(a: number, b: number): number {
  const [aLow, aHigh, bLow, bHigh] = [a & 0xffff, a >>> 16, b & 0xffff, b >>> 16];
  const middle = aHigh * bLow + ((aLow * bLow) >>> 16);
  return aHigh * bHigh + Math.floor(middle / 0x10000) + ((aLow * bHigh + (middle % 0x10000)) >>> 16);
}

/**
 * A number in [0, 1) with 53 random bits, a pure function of its key and counter: Philox 4x32 with ten rounds (Salmon and others,
 * "Parallel Random Numbers: As Easy as 1, 2, 3", 2011). The same draw can be taken at any time, in any order, any number of times.
 *
 * @param seed a whole number of at most 53 bits @param stream tells independent users of one seed apart @param index position in the stream
 */
export function randomAt(seed: number, stream: number, index: number): number {
  let [key0, key1] = [seed >>> 0, Math.floor(seed / 0x100000000) >>> 0];
  let [x0, x1, x2, x3] = [index >>> 0, Math.floor(index / 0x100000000) >>> 0, stream >>> 0, 0];
  for (let round = 0; round < 10; round++) {
    const [high0, low0] = [high(multiplier0, x0), Math.imul(multiplier0, x0) >>> 0];
    const [high1, low1] = [high(multiplier1, x2), Math.imul(multiplier1, x2) >>> 0];
    [x0, x1, x2, x3] = [(high1 ^ x1 ^ key0) >>> 0, low1, (high0 ^ x3 ^ key1) >>> 0, low0];
    [key0, key1] = [(key0 + weyl0) >>> 0, (key1 + weyl1) >>> 0];
  }
  return ((x0 >>> 5) * 0x4000000 + (x1 >>> 6)) / 0x20000000000000;
}
