import { z } from 'zod';
import { rules } from './cel.ts';
import { claimName } from './endpoint-spec.ts';
import { image, modelAddress, slmSchema } from './model-server.ts';
import type { ModelServer } from './model-server.ts';
import { defaultGpus, defaultVerifier, presetSettings } from './r2rrouter-presets.ts';
import type { ModelRole, RouterPresetName } from './r2rrouter-presets.ts';

const modelRules = [
  {
    rule: "!has(self.engine) || self.engine != 'CPU' || !has(self.tensorParallelSize) || self.tensorParallelSize == 1",
    message: 'tensorParallelSize: the CPU engine does not split a model; leave it out, or set it to 1',
  },
  {
    rule: "!has(self.engine) || self.engine != 'CPU' || !has(self.memFractionStatic)",
    message: 'memFractionStatic: is a share of GPU memory, and engine is CPU; leave it out',
  },
  ...(['limits', 'requests'] as const).map((kind) => ({
    rule: `!has(self.resources) || !has(self.resources.${kind}) || !('nvidia.com/gpu' in self.resources.${kind})`,
    message: `resources.${kind}: nvidia.com/gpu follows from tensorParallelSize; remove it here and set tensorParallelSize`,
  })),
  {
    rule: '!has(self.url) || !(has(self.engine) || has(self.image) || has(self.tensorParallelSize) || has(self.memFractionStatic) || has(self.contextLength) || has(self.resources) || (has(self.extraArgs) && size(self.extraArgs) > 0))',
    message: 'url: the server is borrowed, so nothing is started; remove url, or remove the fields that describe a server',
  },
];

/** The cache is a deployment's, and so are its downloads; what is in it has an address that Jobs can mount. */
const onHub = {
  rule: "!self.startsWith('hf://')",
  message:
    'model: the Jobs of an R2RRouter download no models; write the address that status.modelCache.models of an R2RDeployment shows, pvc://<claim>/hub/<folder>, or another folder on a claim',
};

function model(role: ModelRole) {
  const { shape } = slmSchema;
  return z
    .object({
      name: z
        .string()
        .min(1)
        .max(256)
        .meta(
          rules({
            rule: "self.matches('^[A-Za-z0-9][A-Za-z0-9._/-]*$')",
            message: 'name: must be the name of a model such as Qwen/Qwen3-0.6B: letters, digits and . _ / -',
          }),
        )
        .optional()
        .describe(
          "Which model this is: part of what results are known by, so that a model that moves to another folder is not asked again. Left out: the preset's, else the address.",
        ),
      revision: z
        .string()
        .min(1)
        .max(128)
        .optional()
        .describe(
          'Which revision of it, where the folder may hold another one later. Changing it runs the steps again that ask the model.',
        ),
      model: modelAddress(onHub)
        .optional()
        .describe(
          'The model folder, as Hugging Face writes it: `pvc://<claim>/<path>`, or an absolute path in the image. Left out with a preset: the folder of the ' +
            "model's name on models.claim. Borrowed servers need it too: the tokenizer is read from it.",
        ),
      url: z
        .string()
        .min(1)
        .max(512)
        .meta(
          rules({
            rule: "self.matches('^https?://[A-Za-z0-9.:_\\\\[\\\\]-]+(/[A-Za-z0-9._~/-]*)?$')",
            message: 'url: must be the address of a model server such as http://engine.models:30000, without user, password or query',
          }),
        )
        .optional()
        .describe(
          "A model server that runs already and is borrowed; a NetworkPolicy there must let this namespace's pods in. Left out: each pod of a step starts its own.",
        ),
      engine: shape.engine
        .unwrap()
        .optional()
        .describe(
          "`SGLang`: stock SGLang on NVIDIA GPUs. `CPU`: the built-in engine for small models. Left out: the preset's, else SGLang.",
        ),
      image: image.optional().describe("The engine's image. Left out: as for an R2RDeployment."),
      tensorParallelSize: shape.tensorParallelSize.describe(
        `GPUs over which the model is split. Left out: ${defaultGpus[role]}${defaultGpus[role] > 1 ? ', and 1 for engine CPU' : ''}.`,
      ),
      memFractionStatic: shape.memFractionStatic,
      contextLength: shape.contextLength.describe("Longest sequence in tokens. Left out: the model's own limit."),
      extraArgs: shape.extraArgs,
      resources: shape.resources,
    })
    .meta(rules(...modelRules));
}

export const modelsSchema = z.object({
  claim: claimName()
    .optional()
    .describe(
      "PersistentVolumeClaim with the preset's models, each in the folder of its name, such as Qwen/Qwen3-0.6B. Mounted read-only.",
    ),
  slm: model('slm').prefault({}).describe('The small model, whose tokens the router judges (upstream: quick).'),
  llm: model('llm').prefault({}).describe('The large model, which answers the questions (upstream: reference).'),
  continuation: model('continuation')
    .optional()
    .describe('What continues both branches of a difference (upstream: continuation_main). Left out: the large model.'),
  verifier: model('verifier')
    .prefault({})
    .describe(
      `What judges whether a difference changes the meaning (upstream: verify). Its name left out: the preset's, else ${defaultVerifier}.`,
    ),
});

type ModelSpec = z.infer<typeof modelsSchema>['slm'];

/** A model as the Jobs need it. */
export interface RouterModel {
  readonly name: string;
  readonly revision?: string;
  /** How a server of it is started; its `model` is the folder in any case. */
  readonly server: ModelServer;
  /** Of a server that is borrowed. */
  readonly url?: string;
}

/** Fields of the spec that say which models there are. */
export interface ModelSettings {
  readonly preset?: RouterPresetName | undefined;
  readonly models: z.infer<typeof modelsSchema>;
}

/** The models with what presets and defaults say filled in; undefined where nothing says which. */
export function routerModel({ preset, models }: ModelSettings, role: ModelRole): RouterModel | undefined {
  if (role === 'continuation' && !models.continuation) return routerModel({ preset, models }, 'llm');
  const settings = preset && presetSettings[preset];
  const given: ModelSpec | undefined = models[role];
  if (!given) return undefined;
  const known = role === 'continuation' ? undefined : (settings?.models[role] ?? (role === 'verifier' ? defaultVerifier : undefined));
  const root = settings?.folder ?? (models.claim === undefined ? undefined : `pvc://${models.claim}`);
  const folder = given.model ?? (known !== undefined && root !== undefined ? `${root}/${known}` : undefined);
  if (folder === undefined) return undefined;
  // A model of one's own is not the preset's, whatever that says.
  const name = given.name ?? (given.model === undefined ? known : undefined) ?? folder;
  const { engine = settings?.engine ?? 'SGLang', image: engineImage, tensorParallelSize, memFractionStatic, contextLength } = given;
  return {
    name,
    ...(given.revision !== undefined && { revision: given.revision }),
    server: {
      model: folder,
      engine,
      replicas: 1,
      extraArgs: given.extraArgs,
      tensorParallelSize: tensorParallelSize ?? (engine === 'CPU' ? 1 : defaultGpus[role]),
      ...(engineImage !== undefined && { image: engineImage }),
      ...(memFractionStatic !== undefined && { memFractionStatic }),
      ...(contextLength !== undefined && { contextLength }),
      ...(given.resources && { resources: given.resources }),
    },
    ...(given.url !== undefined && { url: given.url }),
  };
}
