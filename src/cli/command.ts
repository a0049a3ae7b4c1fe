/** A command that does one thing, prints what came of it and ends: unlike a program it serves nobody. */

/** A command line that cannot be followed. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
  readonly code = 'USAGE';
}

export interface CommandOptions {
  /** As the user types it. */
  readonly name: string;
  /** Whether results and errors are printed as JSON. */
  readonly json: boolean;
}

/** What a command has to say: lines for people, or a value for programs. */
export interface CommandResult {
  readonly text: readonly string[];
  readonly json: unknown;
}

const exitCodes = { SIGINT: 130, SIGTERM: 143 } as const;

/**
 * Runs a command with a signal that SIGINT and SIGTERM fire, prints its result on stdout, and ends the process unless it went well: 2 for a wrong
 * command line, 1 for a refusal, 130 or 143 when it was told to stop. Errors without a code are defects and keep their stack.
 */
export async function runCommand({ name, json }: CommandOptions, command: (signal: AbortSignal) => Promise<CommandResult>): Promise<void> {
  const stop = new AbortController();
  let exitCode = 0;
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      exitCode = exitCodes[signal];
      stop.abort(new UsageError(`stopped by ${signal}`));
    });
  }
  try {
    const result = await command(stop.signal);
    // a command that watches has printed everything itself
    if (json || result.text.length > 0) console.log(json ? JSON.stringify(result.json) : result.text.join('\n'));
  } catch (error) {
    if (!(error instanceof Error && 'code' in error)) throw error;
    if (json) console.log(JSON.stringify({ error: { code: error.code, message: error.message } }));
    const wrongUsage = error instanceof UsageError && !stop.signal.aborted;
    console.error(`${name}: ${error.message}${wrongUsage ? `; \`${name} --help\` lists the flags` : ''}`);
    process.exit(stop.signal.aborted ? exitCode : wrongUsage ? 2 : 1);
  }
}

/** What `parse` returns. @throws UsageError with the first line of what node's parser objects to */
export function parsed<T>(parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    throw new UsageError((error instanceof Error ? error.message : String(error)).split('\n', 1)[0]);
  }
}
