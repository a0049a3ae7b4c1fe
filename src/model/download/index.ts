/** Whole models from a Hugging Face hub, into a folder that pods share. */
export {
  downloadModel,
  type DownloadedModel,
  type ModelDownloadEvents,
  type ModelDownloadOptions,
  type HubModelUri,
} from './download-model.ts';
export { chooseFiles } from './model-files.ts';
export { modelManifestFile } from './model-folder.ts';
