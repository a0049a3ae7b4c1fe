/**
 * BLAKE2b (RFC 7693) without a key, of the length that is asked for: the trainer's way of dealing questions out to splits. OpenSSL knows only
 * the one of 64 bytes, of which a shorter one is no part.
 */
const mask = 0xffff_ffff_ffff_ffffn;
const blockBytes = 128;

const initial = [
  0x6a09e667f3bcc908n,
  0xbb67ae8584caa73bn,
  0x3c6ef372fe94f82bn,
  0xa54ff53a5f1d36f1n,
  0x510e527fade682d1n,
  0x9b05688c2b3e6c1fn,
  0x1f83d9abfb41bd6bn,
  0x5be0cd19137e2179n,
];

/** Which word of the message each of the sixteen places of a round takes, one hexadecimal digit a place. */
const permutations = [
  '0123456789abcdef',
  'ea489fd61c02b753',
  'b8c052fdae367194',
  '7931dcbe265a40f8',
  '905724afe1bc683d',
  '2c6a0b834d75fe19',
  'c51fed4a0763928b',
  'db7ec13950f4862a',
  '6fe9b308c2d714a5',
  'a2847615fb9e3cd0',
].map((digits) => Array.from(digits, (digit) => parseInt(digit, 16)));

/** Quarters of the state that a round mixes: its columns, then its diagonals. */
const quarters = [
  [0, 4, 8, 12],
  [1, 5, 9, 13],
  [2, 6, 10, 14],
  [3, 7, 11, 15],
  [0, 5, 10, 15],
  [1, 6, 11, 12],
  [2, 7, 8, 13],
  [3, 4, 9, 14],
] as const;

/** @param bytes of the digest, 1 to 64. @returns hexadecimal */
export function blake2b(message: Uint8Array, bytes: number): string {
  const state = [...initial];
  state[0] = (state[0] ?? 0n) ^ 0x0101_0000n ^ BigInt(bytes);
  const blocks = Math.max(1, Math.ceil(message.length / blockBytes));
  for (let block = 0; block < blocks; block++) {
    const words = new DataView(new ArrayBuffer(blockBytes));
    message.subarray(block * blockBytes, (block + 1) * blockBytes).forEach((byte, at) => words.setUint8(at, byte));
    compress(state, words, Math.min(message.length, (block + 1) * blockBytes), block === blocks - 1);
  }
  const digest = Buffer.alloc(64);
  state.forEach((word, at) => digest.writeBigUInt64LE(word, 8 * at));
  return digest.toString('hex', 0, bytes);
}

function compress(state: bigint[], words: DataView, counted: number, last: boolean): void {
  const v = [...state, ...initial];
  const at = (index: number): bigint => v[index] ?? 0n;
  v[12] = at(12) ^ BigInt(counted);
  if (last) v[14] = at(14) ^ mask;
  for (let round = 0; round < 12; round++) {
    const order = permutations[round % permutations.length] ?? [];
    for (const [index, [a, b, c, d]] of quarters.entries()) {
      const word = (which: number): bigint => words.getBigUint64(8 * (order[2 * index + which] ?? 0), true);
      v[a] = (at(a) + at(b) + word(0)) & mask;
      v[d] = rotated(at(d) ^ at(a), 32n);
      v[c] = (at(c) + at(d)) & mask;
      v[b] = rotated(at(b) ^ at(c), 24n);
      v[a] = (at(a) + at(b) + word(1)) & mask;
      v[d] = rotated(at(d) ^ at(a), 16n);
      v[c] = (at(c) + at(d)) & mask;
      v[b] = rotated(at(b) ^ at(c), 63n);
    }
  }
  for (let index = 0; index < 8; index++) state[index] = (state[index] ?? 0n) ^ at(index) ^ at(index + 8);
}

function rotated(word: bigint, by: bigint): bigint {
  return (word >> by) | ((word << (64n - by)) & mask);
}
