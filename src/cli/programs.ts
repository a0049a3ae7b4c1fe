/** The first words of a command line: which program runs. Programs are loaded on demand, so the operator never loads onnxruntime. */

export type Program = (argv: readonly string[]) => Promise<void>;

export type Programs = Readonly<Record<string, { readonly about: string; readonly load: () => Promise<Program> }>>;

function usageOf(command: string, what: string, programs: Programs): string {
  const width = Math.max(10, ...Object.keys(programs).map((name) => name.length + 2));
  return [
    `usage: ${command} <${what}> [flags]`,
    '',
    ...Object.entries(programs).map(([name, { about }]) => `  ${name.padEnd(width)}${about}`),
    '',
    `\`${command} <${what}> --help\` lists its flags.`,
  ].join('\n');
}

/** A program that hands over to the one its first argument names. Exits with 2 when there is none of that name. */
export function choice(command: string, what: string, programs: Programs): Program {
  return async ([name = '', ...argv]) => {
    const program = Object.hasOwn(programs, name) ? programs[name] : undefined;
    if (program) return (await program.load())(argv);
    const usage = usageOf(command, what, programs);
    if (name === '' || name === '--help' || name === '-h' || name === 'help') {
      console.log(usage);
      return;
    }
    console.error(`${command}: there is no ${what} "${name}"\n\n${usage}`);
    process.exit(2);
  };
}

const exitCodes = { SIGINT: 130, SIGTERM: 143 } as const;

/**
 * Runs the process's program; whatever it throws ends the process with 1 and one line, and so does a signal, with 130 or 143, that comes
 * before the program listens to it.
 */
export async function runProcess(command: string, program: Program, argv: readonly string[]): Promise<void> {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) endBeforeListening(signal);
  process.on('unhandledRejection', (error) => {
    console.error('unhandled rejection', error);
    process.exit(1);
  });
  try {
    await program(argv);
  } catch (error) {
    console.error(error instanceof Error ? `${command} ${argv[0] ?? ''}: ${error.message}` : error);
    process.exit(1);
  }
}

/**
 * The first process of a container is not ended by a signal that it does not listen to: a pod that is deleted while it starts would stay for
 * the whole of its grace period. From the first signal on the program's own listeners decide.
 */
function endBeforeListening(signal: keyof typeof exitCodes): void {
  process.once(signal, () => {
    // a listener of `once` is taken off before it is called
    if (process.listenerCount(signal) === 0) process.exit(exitCodes[signal]);
  });
}
