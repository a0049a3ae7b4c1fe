import { join } from 'node:path';
import { Template } from '@huggingface/jinja';
import { z } from 'zod';
import { ModelError } from './errors.ts';
import { readOptionalJson, readOptionalText } from './model-file.ts';

const namedTemplates = z.array(z.object({ name: z.string(), template: z.string() }));

/** The shapes in which `chat_template` occurs in tokenizer_config.json and chat_template.json. */
export const chatTemplateField = z.union([z.string(), namedTemplates]).nullish();

function defaultTemplate(field: z.infer<typeof chatTemplateField>): string | undefined {
  if (typeof field === 'string') return field;
  return (field?.find(({ name }) => name === 'default') ?? field?.[0])?.template;
}

/**
 * A folder's chat template, as `variables -> text`. chat_template.jinja wins over chat_template.json and over tokenizer_config.json's
 * field, as in transformers. Undefined when the folder has none. Throws `MODEL_FILE_INVALID` when the template does not parse.
 */
export async function loadChatTemplate(
  folder: string,
  configField: z.infer<typeof chatTemplateField>,
): Promise<((variables: Readonly<Record<string, unknown>>) => string) | undefined> {
  let path = join(folder, 'chat_template.jinja');
  let source = await readOptionalText(folder, 'chat_template.jinja');
  if (source === undefined) {
    path = join(folder, 'chat_template.json');
    source = defaultTemplate(
      (await readOptionalJson(folder, 'chat_template.json', z.object({ chat_template: chatTemplateField })))?.chat_template,
    );
  }
  if (source === undefined) {
    path = join(folder, 'tokenizer_config.json');
    source = defaultTemplate(configField);
  }
  if (source === undefined) return undefined;
  try {
    const template = new Template(source);
    return (variables) => template.render({ ...variables });
  } catch (cause) {
    throw new ModelError('MODEL_FILE_INVALID', path, 'its chat template does not parse', 'correct the template', cause);
  }
}
