import { sizeText } from '../size-text.ts';
import type { Contents } from './collector.ts';

export interface IndexFacts {
  readonly madeAt: string;
  readonly plugin: string;
  readonly server: string;
  /** What was asked for, in words. */
  readonly asked: string;
  readonly logs: string;
}

/** What whoever unpacks the archive reads first. */
export function indexPage({ madeAt, plugin, server, asked, logs }: IndexFacts, { files, missing }: Contents): string {
  const order = [...files].sort((a, b) => (a.path < b.path ? -1 : 1));
  return [
    '# R2R support bundle',
    '',
    `Made ${madeAt} by kubectl-r2r ${plugin}, from ${server}: ${asked}. Logs: ${logs}.`,
    '',
    'Secrets were never read. Values of environment variables, annotations and arguments that are not known to be harmless, passwords and queries in',
    'addresses, authorization headers, everything that looks like a key or a token, and the text of requests where it can be told have been',
    'replaced by `<redacted>`. Look through it before you pass it on: a program may print a secret in a form that nobody knows.',
    '',
    '## What could not be collected',
    '',
    ...(missing.length === 0 ? ['Nothing is missing.'] : missing.map(({ what, why }) => `- ${what}: ${why}`)),
    '',
    '## Files',
    '',
    ...order.map(({ path, bytes }) => `- \`${path}\` (${sizeText(bytes)})`),
    '',
  ].join('\n');
}
