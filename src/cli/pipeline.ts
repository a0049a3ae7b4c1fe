import { choice, type Program } from './programs.ts';

/** `r2r pipeline <command>`: from questions to a label set, and from a checkpoint to a bundle. */
export const pipeline: Program = choice('r2r pipeline', 'command', {
  run: {
    about: 'runs one step, or one shard of it, as a Job does',
    load: async () => (await import('./pipeline-run.ts')).pipelineRun,
  },
  bundle: {
    about: 'makes a router bundle of a checkpoint, measures and stores it, as the last Job of a router does',
    load: async () => (await import('./pipeline-bundle.ts')).pipelineBundle,
  },
  all: {
    about: 'runs the steps one after the other, in this process',
    load: async () => (await import('./pipeline-all.ts')).pipelineAll,
  },
  show: {
    about: 'lists the steps of a workspace, their sizes and who uses them',
    load: async () => (await import('./pipeline-show.ts')).pipelineShow,
  },
  clean: {
    about: "removes results of a router's earlier parameters from a workspace",
    load: async () => (await import('./pipeline-clean.ts')).pipelineClean,
  },
  examples: {
    about: "prints a label set's distribution and examples of each class",
    load: async () => (await import('./pipeline-examples.ts')).pipelineExamples,
  },
});
