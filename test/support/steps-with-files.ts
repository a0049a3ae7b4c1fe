import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const preload = join(import.meta.dirname, 'die-at-step.ts');

/**
 * Environment variables with which a Node process kills itself right before its `step`th step with files, counted from 1; with 0 it goes on to its
 * end. One that ends by itself writes their number to `countFile`.
 */
export function dyingAt(step: number, countFile: string): Readonly<Record<string, string>> {
  return { NODE_OPTIONS: `--import=${preload}`, R2R_DIE_AT: String(step), R2R_STEPS_FILE: countFile };
}

/** How many steps the process took that has ended by itself. */
export function stepsTaken(countFile: string): number {
  return existsSync(countFile) ? Number(readFileSync(countFile, 'utf8')) : 0;
}
