#!/usr/bin/env node
/** `kubectl r2r <command>`: kubectl runs `kubectl-r2r` from the PATH. */
import { lookingCommands } from './looking-commands.ts';
import { choice, runProcess } from './programs.ts';

const kubectlR2R = choice('kubectl r2r', 'command', {
  rollout: {
    about: 'roll-outs of an R2RDeployment: status, history',
    load: async () => (await import('./rollout-commands.ts')).rolloutCommands,
  },
  router: {
    about: 'routers and their bundles: import, inspect, history, rollback',
    load: async () => (await import('./router-commands.ts')).routerCommands,
  },
  ...lookingCommands,
});

await runProcess('kubectl r2r', kubectlR2R, process.argv.slice(2));
