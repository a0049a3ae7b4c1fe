import { Buffer } from 'node:buffer';
import { padded, tarEnd, tarHeader } from '../../src/cli/support/tar-blocks.ts';

/**
 * A tar archive (ustar) of these files, by path. The same files give the same bytes: no time, no owner, in the order of the paths. Throws on
 * a path longer than 100 bytes.
 */
export function tar(files: ReadonlyMap<string, Buffer>): Buffer {
  const entries = [...files].sort(([a], [b]) => (a < b ? -1 : 1));
  return Buffer.concat([...entries.flatMap(([path, content]) => [header(path, content.length), padded(content)]), tarEnd]);
}

function header(name: string, size: number): Buffer {
  if (Buffer.byteLength(name) > 100) throw new RangeError(`${name}: a path in the archive has at most 100 bytes`);
  return tarHeader({ name, prefix: '', size, at: new Date(0), mode: 0o644, type: '0' });
}
