import { choice, type Program } from './programs.ts';

/** `r2r model <command>`: models of a hub, as folders that servers read. */
export const model: Program = choice('r2r model', 'command', {
  download: {
    about: 'brings a model of a Hugging Face hub into a folder, as the Job of a model cache does',
    load: async () => (await import('./model-download.ts')).modelDownload,
  },
});
