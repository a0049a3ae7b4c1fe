import { choice, type Program } from './programs.ts';

/** `kubectl r2r rollout <command>`. */
export const rolloutCommands: Program = choice('kubectl r2r rollout', 'command', {
  status: {
    about: 'waits until the present spec of an R2RDeployment is rolled out',
    load: async () => (await import('./rollout-status.ts')).rolloutStatus,
  },
  history: {
    about: 'lists the revisions that its endpoint has led to',
    load: async () => (await import('./rollout-history.ts')).rolloutHistory,
  },
});
