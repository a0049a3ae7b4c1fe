import { choice, type Program, type Programs } from './programs.ts';

const commands: Programs = {
  import: {
    about: 'turns an upstream checkpoint (.pt) into a router bundle',
    load: async () => (await import('./router-import.ts')).routerImport,
  },
  inspect: {
    about: 'checks a router bundle and says what is in it',
    load: async () => (await import('./router-inspect.ts')).routerInspect,
  },
  history: {
    about: 'lists the bundles that an R2RRouter has made, and who uses them',
    load: async () => (await import('./router-history.ts')).routerHistory,
  },
  rollback: {
    about: 'has deployments go back to an earlier one of them',
    load: async () => (await import('./router-rollback.ts')).routerRollback,
  },
};

/** `kubectl r2r router <command>`. */
export const routerCommands: Program = choice('kubectl r2r router', 'command', commands);

/** `r2r router <command>`, and the sidecar where the first argument is no command but a flag. */
export const routerProgram: Program = async ([first = '', ...rest]) => {
  const command = Object.hasOwn(commands, first) ? commands[first] : undefined;
  if (command) return (await command.load())(rest);
  await (await import('./router.ts')).router(first === '' ? rest : [first, ...rest]);
};
