/** versitygw, an S3 server, built from the Go module proxy at the version that go.mod pins, once for each change of it. */
import { createHash } from 'node:crypto';
import { access, mkdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { run, tryRun } from '../../cluster/commands.ts';
import { cacheFolder } from '../../cluster/go-programs.ts';
import { locked } from '../../cluster/lock.ts';

const program = 'github.com/versity/versitygw';

const isThere = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );

/** Absolute path of the server, built first where it is missing (two minutes on two cores). Processes that ask at once build once. */
export async function s3ServerProgram(progress: (line: string) => void): Promise<string> {
  const inputs = await Promise.all(['go.mod', 'go.sum'].map((name) => readFile(join(import.meta.dirname, name), 'utf8')));
  const version = new RegExp(`${program} v(\\S+)`).exec(inputs[0] ?? '')?.[1];
  if (version === undefined) throw new Error(`test/support/s3/go.mod requires no ${program}`);
  const hash = createHash('sha256').update(inputs.join('\0')).digest('hex').slice(0, 8);
  const folder = join(cacheFolder(), `versitygw-${version}-${hash}`);
  const path = join(folder, 'versitygw');
  if (await isThere(path)) return path;
  await mkdir(folder, { recursive: true });
  await locked(join(folder, '.lock'), progress, async () => {
    if (await isThere(path)) return;
    if ((await tryRun('go', ['version'])) === undefined)
      throw new Error('Go 1.25 or newer must be in PATH to build the S3 server of the tests (once; https://go.dev/dl).');
    progress(`building versitygw ${version}, once: about two minutes on two cores`);
    const scratch = join(folder, '.building');
    await run('go', ['build', '-trimpath', '-ldflags', '-s -w', '-o', scratch, `${program}/cmd/versitygw`], {
      cwd: import.meta.dirname,
      env: { ...process.env, CGO_ENABLED: '0', GOFLAGS: '-mod=readonly -buildvcs=false', GOWORK: 'off' },
      timeoutMs: 30 * 60_000,
    });
    await rename(scratch, path);
  });
  await rm(join(folder, '.building'), { force: true });
  return path;
}
