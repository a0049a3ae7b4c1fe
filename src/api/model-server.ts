import { z } from 'zod';
import { autoscalingSchema, gpuBudgetRule } from './autoscaling-spec.ts';
import { freeForm, rules } from './cel.ts';
import type { Rule } from './cel.ts';
import { objectName } from './endpoint-spec.ts';
import { hubModelForm } from './hub-model.ts';
import { nodes, nodesRules } from './placement-spec.ts';

/** What serves a model: `SGLang` on GPUs (stock image), or `CPU`, this project's own small engine. */
export const engines = ['SGLang', 'CPU'] as const;

/**
 * Flags the operator sets itself, or that would break routing. They are refused in `extraArgs`; abbreviations that slip through
 * change nothing, because the operator's own flags come last on the command line.
 */
export const ownedFlags = [
  'model',
  'model-path',
  'tokenizer-path',
  'served-model-name',
  'host',
  'port',
  'config',
  'tp',
  'tp-size',
  'tensor-parallel-size',
  'dp',
  'dp-size',
  'data-parallel-size',
  'nnodes',
  'node-rank',
  'dist-init-addr',
  'mem-fraction-static',
  'context-length',
  'page-size',
  'enable-metrics',
  'enable-return-hidden-states',
  'return-hidden-states-mode',
  'disable-radix-cache',
  'skip-tokenizer-init',
  'api-key',
  'admin-api-key',
  'ssl-keyfile',
  'ssl-certfile',
] as const;

/**
 * Forms of a model's address.
 *
 * @param onHub - what is demanded of one on a hub
 * @param otherForms - for the message, behind those that every model may have
 */
export function modelAddress(onHub: Rule, otherForms = '') {
  return z
    .string()
    .min(1)
    .max(1024)
    .meta(
      rules(
        onHub,
        {
          rule: "self.startsWith('hf://') || self.matches('^(pvc://[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?)?(/[A-Za-z0-9._@+-]+)*/?$') && self != '/'",
          message: `model: must be pvc://<claim>/<path> or an absolute path in the image such as /models/slm (letters, digits and . _ @ + - in each part)${otherForms}`,
        },
        {
          rule: "!self.matches('(^|/)[.][.]?(/|$)')",
          message: 'model: must not contain "." or ".." as a part of the path; write the folder\'s full path',
        },
      ),
    );
}

const onHub = {
  rule: `!self.startsWith('hf://') || self.matches('${hubModelForm}')`,
  message: 'model: a model on the hub must be hf://<org>/<repo>@<revision>, such as hf://Qwen/Qwen3-8B@main, or hf://<org>/<repo>',
};

const model = modelAddress(onHub, ', or hf://<org>/<repo>@<revision>').describe(
  'The model (config.json, safetensors, tokenizer.json as Hugging Face writes them): `hf://<org>/<repo>@<revision>`, which is downloaded once to `modelCache` (revision left out: ' +
    '`main`; the commit it is at the time is kept, so that all pods have the same); `pvc://<claim>/<path>`, a folder on a ' +
    'PersistentVolumeClaim of the same namespace, mounted read-only at `/models/<claim>`; or an absolute path, which the images of engine and router must both have. ' +
    'SLM and LLM must share one tokenizer.',
);

export const image = z
  .string()
  .min(1)
  .max(512)
  .meta(
    rules({
      rule: "self.matches('^[A-Za-z0-9][^\\\\s]*$')",
      message: 'image: must be an image reference without white space, such as registry.example/team/image:tag',
    }),
  );

const quantities = z
  .record(
    z.string(),
    z.union([z.int(), z.string()]).meta({
      maxLength: 32,
      ...rules({
        rule: 'type(self) == int ? int(self) >= 0 : isQuantity(string(self))',
        message: 'resources: must be a quantity such as 2, 500m or 4Gi',
      }),
    }),
  )
  .meta({ maxProperties: 16 })
  .optional();

export const resources = z
  .object({
    requests: quantities.describe('What the scheduler reserves.'),
    limits: quantities.describe('What the container may use at most.'),
  })
  .optional();

/** A pod overlay: `metadata` is checked by the API server, `spec` is a partial PodSpec merged strategically over the rendered one. */
export const podTemplate = z
  .object({
    metadata: z
      .object({
        labels: z
          .record(z.string(), z.string().max(63))
          .meta({ maxProperties: 32 })
          .optional()
          .describe("Further labels; the operator's own cannot be changed."),
        annotations: z.record(z.string(), z.string().max(4096)).meta({ maxProperties: 32 }).optional().describe('Further annotations.'),
      })
      .optional()
      .describe('Labels and annotations of the pods.'),
    spec: z
      .looseObject({})
      .meta(freeForm)
      .optional()
      .describe(
        'A partial PodSpec. Containers, volumes and variables are merged by name, mounts by path; other lists are replaced; ' +
          'init containers of yours run before the engine. `$patch: delete` removes a list element or a map, `$patch: replace` takes a map as it is.',
      ),
  })
  .optional();

export type PodTemplateOverlay = NonNullable<z.infer<typeof podTemplate>>;

const cpuRules = [
  {
    rule: "self.engine != 'CPU' || !has(self.tensorParallelSize) || self.tensorParallelSize == 1",
    message: 'tensorParallelSize: the CPU engine does not split a model; leave it out, or set it to 1',
  },
  {
    rule: "self.engine != 'CPU' || !has(self.memFractionStatic)",
    message: 'memFractionStatic: is a share of GPU memory, and engine is CPU; leave it out',
  },
  {
    rule: "!has(self.resources) || !has(self.resources.limits) || !('nvidia.com/gpu' in self.resources.limits)",
    message: 'resources.limits: nvidia.com/gpu follows from tensorParallelSize; remove it here and set tensorParallelSize',
  },
  {
    rule: "!has(self.resources) || !has(self.resources.requests) || !('nvidia.com/gpu' in self.resources.requests)",
    message: 'resources.requests: nvidia.com/gpu follows from tensorParallelSize; remove it here and set tensorParallelSize',
  },
];

/** The model server of one side. `role` only chooses words and the documented default of `tensorParallelSize`. */
function modelServer(role: 'SLM' | 'LLM', tensorParallelSize: number) {
  return z
    .object({
      model,
      engine: z
        .enum(engines)
        .default('SGLang')
        .describe('`SGLang`: stock SGLang on NVIDIA GPUs. `CPU`: the built-in engine for small models, without a GPU.'),
      image: image
        .optional()
        .describe(
          "The engine's image. Left out: `lmsysorg/sglang` at the release this version was tested with, or this project's router image for CPU.",
        ),
      tensorParallelSize: z
        .int32()
        .min(1)
        .max(16)
        .optional()
        .describe(
          `GPUs of one ${role} replica, over which the model is split. Left out: ${tensorParallelSize}${tensorParallelSize > 1 ? ', and 1 for engine CPU' : ''}.`,
        ),
      memFractionStatic: z
        .number()
        .meta(
          // Not minimum and maximum: the API server prints bounds as whole numbers, "should be less than or equal to 0".
          rules({
            rule: 'self >= 0.05 && self <= 0.95',
            message: 'memFractionStatic: must be a share of GPU memory from 0.05 to 0.95, such as 0.8',
          }),
        )
        .optional()
        .describe("Share of the GPU's free memory for weights and KV cache. Left out: SGLang decides."),
      contextLength: z
        .int32()
        .min(16)
        .max(16_777_216)
        .optional()
        .describe("Longest sequence in tokens. Left out: the model's own limit. A request is bounded by the smaller of SLM and LLM."),
      replicas: z
        .int32()
        .min(0)
        .max(100)
        .default(1)
        .describe(
          role === 'SLM'
            ? 'SLM pods, each with its own router. 0 stops answering.'
            : 'LLM pods, shared by all routers. Also written through the scale subresource (kubectl scale, HPA, KEDA).',
        ),
      autoscaling: autoscalingSchema(role === 'SLM' ? 'slm' : 'llm')
        .optional()
        .describe('Has the operator choose the number of pods by their load; `replicas` is then ignored.'),
      extraArgs: z
        .array(
          z
            .string()
            .min(1)
            .max(512)
            .meta(
              rules({
                rule: `!self.matches('^--(${ownedFlags.join('|')})(=|$)')`,
                message:
                  'extraArgs: this flag is set by the operator; use the field for it (model, tensorParallelSize, memFractionStatic, contextLength) or leave it out',
              }),
            ),
        )
        .max(64)
        .default([])
        .describe('Further command-line arguments of the engine, before those of the operator. Flags the operator owns are refused.'),
      resources: resources.describe('CPU and memory of the engine container; GPUs follow from tensorParallelSize. Left out: no requests.'),
      priorityClassName: objectName('priorityClassName', 'a PriorityClass')
        .optional()
        .describe('PriorityClass of the pods. Left out: that of the cluster.'),
      podTemplate: podTemplate.describe(
        role === 'SLM'
          ? 'Overlay on the SLM pod: its container is `router`, its engine the init container `engine`.'
          : 'Overlay on the LLM pod: its container is `engine`.',
      ),
    })
    .meta(rules(...cpuRules, gpuBudgetRule(role === 'SLM' ? 'slm' : 'llm')));
}

export const slmSchema = modelServer('SLM', 1);
export const llmSchema = modelServer('LLM', 2)
  .extend({ nodes })
  .meta(rules(...cpuRules, gpuBudgetRule('llm'), ...nodesRules));

export type ModelServer = z.infer<typeof slmSchema>;
export type LlmServer = z.infer<typeof llmSchema>;
