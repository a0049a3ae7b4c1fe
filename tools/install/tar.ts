import { Buffer } from 'node:buffer';

const block = 512;

/**
 * A tar archive (ustar) of these files, by path. The same files give the same bytes: no time, no owner, in the order of the paths. Throws on
 * a path longer than 100 bytes.
 */
export function tar(files: ReadonlyMap<string, Buffer>): Buffer {
  const entries = [...files].sort(([a], [b]) => (a < b ? -1 : 1));
  const blocks = entries.flatMap(([path, content]) => [header(path, content.length), content, padding(content.length)]);
  return Buffer.concat([...blocks, Buffer.alloc(2 * block)]);
}

function header(path: string, size: number): Buffer {
  if (Buffer.byteLength(path) > 100) throw new RangeError(`${path}: a path in the archive has at most 100 bytes`);
  const bytes = Buffer.alloc(block);
  const octal = (value: number, length: number) => `${value.toString(8).padStart(length - 1, '0')}\0`;
  bytes.write(path, 0);
  bytes.write(octal(0o644, 8), 100);
  bytes.write(octal(0, 8), 108);
  bytes.write(octal(0, 8), 116);
  bytes.write(octal(size, 12), 124);
  bytes.write(octal(0, 12), 136);
  bytes.write('        ', 148); // what the checksum is computed with in its own place
  bytes.write('0', 156);
  bytes.write('ustar\x0000', 257, 'latin1');
  bytes.write(
    octal(
      bytes.reduce((sum, each) => sum + each, 0),
      7,
    ),
    148,
  );
  return bytes;
}

const padding = (size: number): Buffer => Buffer.alloc((block - (size % block)) % block);
