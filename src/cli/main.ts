#!/usr/bin/env node
/** The one executable of every image: `r2r <program> [flags]`. Programs are loaded on demand, so the operator never loads onnxruntime. */

type Program = (argv: readonly string[]) => Promise<void>;

const programs: Readonly<Record<string, { readonly about: string; readonly load: () => Promise<Program> }>> = {
  operator: { about: 'reconciles R2RDeployments (runs in the cluster)', load: async () => (await import('./operator.ts')).operator },
  router: { about: "the token router beside an SLM server: OpenAI's API in front", load: async () => (await import('./router.ts')).router },
  engine: { about: "a CPU model server that speaks SGLang's native API", load: async () => (await import('./engine.ts')).engine },
};

const usage = [
  'usage: r2r <program> [flags]',
  '',
  ...Object.entries(programs).map(([name, { about }]) => `  ${name.padEnd(10)}${about}`),
  '',
  '`r2r <program> --help` lists its flags.',
].join('\n');

const [name = '', ...argv] = process.argv.slice(2);
const program = programs[name];
if (!program) {
  const help = name === '' || name === '--help' || name === 'help';
  (help ? console.log : console.error)(help ? usage : `r2r: there is no program "${name}"\n\n${usage}`);
  process.exit(help ? 0 : 2);
}

process.on('unhandledRejection', (error) => {
  console.error('unhandled rejection', error);
  process.exit(1);
});
try {
  await (
    await program.load()
  )(argv);
} catch (error) {
  console.error(error instanceof Error ? `r2r ${name}: ${error.message}` : error);
  process.exit(1);
}
