/** The blocks that a tar file (POSIX ustar) consists of. */

const block = 512;

export interface TarEntry {
  /** Up to 100 bytes. */
  readonly name: string;
  /** Of the path, up to 155 bytes, before the slash. */
  readonly prefix: string;
  /** Of the content, in bytes. */
  readonly size: number;
  readonly at: Date;
  readonly mode: number;
  /** `0`: a file, `x`: a pax record about the next one. */
  readonly type: '0' | 'x';
}

export function tarHeader({ name, prefix, size, at, mode, type }: TarEntry): Buffer {
  const bytes = Buffer.alloc(block);
  const octal = (value: number, width: number): string => `${value.toString(8).padStart(width - 1, '0')}\0`;
  bytes.write(name, 0, 100);
  bytes.write(octal(mode, 8), 100);
  bytes.write(octal(0, 8), 108);
  bytes.write(octal(0, 8), 116);
  bytes.write(octal(size, 12), 124);
  bytes.write(octal(Math.floor(at.getTime() / 1000), 12), 136);
  // what the checksum is computed with in its own place
  bytes.write('        ', 148);
  bytes.write(type, 156);
  bytes.write('ustar\x0000', 257);
  bytes.write(prefix, 345, 155);
  const sum = bytes.reduce((total, byte) => total + byte, 0);
  bytes.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return bytes;
}

/** Content, up to the end of its last block. */
export function padded(bytes: Buffer): Buffer {
  return Buffer.concat([bytes, Buffer.alloc((block - (bytes.length % block)) % block)]);
}

/** After the last entry. */
export const tarEnd: Buffer = Buffer.alloc(2 * block);
