import type { Programs } from './programs.ts';

/** Commands that look at a cluster and change nothing. */
export const lookingCommands: Programs = {
  status: {
    about: 'a deployment as a tree, with the reasons of what is not ready',
    load: async () => (await import('./status/status.ts')).statusCommand,
  },
  top: {
    about: 'routing ratio, tokens a second and replicas, live',
    load: async () => (await import('./top/top.ts')).topCommand,
  },
  events: {
    about: 'events of a resource, its children and its pods',
    load: async () => (await import('./events/events.ts')).eventsCommand,
  },
  'support-bundle': {
    about: 'a file for whoever helps you, without secrets',
    load: async () => (await import('./support/support-bundle.ts')).supportBundleCommand,
  },
};
