import { existsSync, mkdtempSync, readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Every file below a folder that a finished step consists of, by path, as text that can be compared. Marks of routers are no part of it. */
export function finishedFiles(folder: string): Readonly<Record<string, string>> {
  const names = filesIn(folder);
  return Object.fromEntries(
    names.flatMap((name) => (/\.(parquet|json)$/.test(name) ? [[name, readFileSync(join(folder, name)).toString('base64')]] : [])),
  );
}

/** What a run may leave only when it did not end well; a few bytes beside manifests are nobody's, since any shard may be writing them. */
export function leftovers(folder: string): readonly string[] {
  const names = filesIn(folder);
  return names.filter((name) => /\.(tmp|jsonl|corrupt)$/.test(name) && !/(^|\/)(step|manifest)\.json\.\w+\.tmp$/.test(name));
}

function filesIn(folder: string): readonly string[] {
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' }).sort();
  return names.filter((name) => !/(^|\/)owners\//.test(name));
}

/** A folder in memory where there is one: synchronising costs nothing there. */
export function temporaryFolder(): string {
  return mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'r2r-pipeline-'));
}
