import { PipelineError } from '../errors.ts';

const placeholder = /\{\{\s*(\w+)\s*\}\}/g;

/** What a template may name. */
export interface TemplateValues {
  readonly question: string;
  /** Lettered, a line each; undefined where the question has none. */
  readonly options?: string | undefined;
}

export const defaultTemplates = { open: '{{question}}', multipleChoice: '{{question}}\n\n{{options}}' } as const;

/** @param field of the parameters, for the error. @throws PipelineError `PIPELINE_PARAMS` */
export function checkTemplate(template: string, hasOptions: boolean, field: string): void {
  const known = hasOptions ? ['question', 'options'] : ['question'];
  const named = [...template.matchAll(placeholder)].map((match) => match[1] ?? '');
  const unknown = named.find((name) => !known.includes(name));
  const may = `write ${known.map((name) => `{{${name}}}`).join(' or ')}`;
  if (unknown !== undefined) throw new PipelineError('PIPELINE_PARAMS', `${field} has {{${unknown}}}, which nothing fills`, may, { field });
  if (!named.includes('question')) throw new PipelineError('PIPELINE_PARAMS', `${field} leaves the question out`, may, { field });
}

/** Puts values in their places, once: what a value contains is never taken for a placeholder. */
export function fillTemplate(template: string, { question, options }: TemplateValues): string {
  return template.replaceAll(placeholder, (_, name: string) => (name === 'options' ? (options ?? '') : question));
}

/** `A) …` and so on, a line each. */
export function letteredOptions(options: readonly string[]): string {
  return options.map((option, index) => `${letterOf(index)}) ${option}`).join('\n');
}

export function letterOf(index: number): string {
  return String.fromCharCode('A'.charCodeAt(0) + index);
}
