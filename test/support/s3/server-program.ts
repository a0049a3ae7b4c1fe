/** versitygw, an S3 server, built from the Go module proxy at the version that go.mod pins, once for each change of it. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { goBuild, madeOnce, requiredVersion } from '../go/made-once.ts';

const program = 'github.com/versity/versitygw';

/** Absolute path of the server, built first where it is missing (two minutes on two cores). Processes that ask at once build once. */
export async function s3ServerProgram(progress: (line: string) => void): Promise<string> {
  const folder = import.meta.dirname;
  const inputs = await Promise.all(['go.mod', 'go.sum'].map((name) => readFile(join(folder, name), 'utf8')));
  const version = requiredVersion(inputs[0] ?? '', program, 'test/support/s3/go.mod');
  const about = `building versitygw ${version}, once: about two minutes on two cores`;
  const wanted = { name: 'versitygw', version, inputs, files: ['versitygw'], about, go: '1.25' };
  const [path = ''] = await madeOnce(wanted, progress, (_, to) => goBuild(folder, `${program}/cmd/versitygw`, to));
  return path;
}
