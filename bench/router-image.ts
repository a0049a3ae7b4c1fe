import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** What the image of routers, model servers and Jobs gives Node, as its Dockerfile says. */
export const routerNodeFlags: readonly string[] = entrypoint().filter((word) => word.startsWith('--'));

function entrypoint(): readonly string[] {
  const dockerfile = readFileSync(join(import.meta.dirname, '../images/router/Dockerfile'), 'utf8');
  const words = /^ENTRYPOINT (\[.*\])$/m.exec(dockerfile)?.[1];
  if (words === undefined) throw new Error('images/router/Dockerfile has no ENTRYPOINT in JSON');
  return JSON.parse(words) as readonly string[];
}
