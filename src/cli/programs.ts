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

/** Runs the process's program; whatever it throws ends the process with 1 and one line. */
export async function runProcess(command: string, program: Program, argv: readonly string[]): Promise<void> {
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
