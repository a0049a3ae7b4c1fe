#!/usr/bin/env node
/** The one executable of every image: `r2r <program> [flags]`. */
import { lookingCommands } from './looking-commands.ts';
import { choice, runProcess } from './programs.ts';

const r2r = choice('r2r', 'program', {
  operator: { about: 'reconciles R2RDeployments (runs in the cluster)', load: async () => (await import('./operator.ts')).operator },
  router: {
    about:
      "the token router beside an SLM server: OpenAI's API in front; `import`, `inspect`, `history` and `rollback` are for its bundles",
    load: async () => (await import('./router-commands.ts')).routerProgram,
  },
  pipeline: {
    about: 'from questions to a label set that a router network is trained on',
    load: async () => (await import('./pipeline.ts')).pipeline,
  },
  model: {
    about: 'models of a Hugging Face hub: `download` brings one into a folder that pods share',
    load: async () => (await import('./model.ts')).model,
  },
  engines: {
    about: 'two CPU model servers in one container, one started after the other (placement Colocated)',
    load: async () => (await import('./engines.ts')).engines,
  },
  ...lookingCommands,
  engine: { about: "a CPU model server that speaks SGLang's native API", load: async () => (await import('./engine.ts')).engine },
});

await runProcess('r2r', r2r, process.argv.slice(2));
