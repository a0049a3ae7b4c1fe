import { parse } from 'yaml';
import { z } from 'zod';

const patterns = z.union([z.string().transform((pattern) => [pattern]), z.array(z.string())]);
const dataFilesSchema = z.union([
  patterns.transform((path) => [{ split: 'train', path }]),
  z.array(z.object({ split: z.string(), path: patterns })),
  z.record(z.string(), patterns).transform((splits) => Object.entries(splits).map(([split, path]) => ({ split, path }))),
]);
const subsetSchema = z.object({
  config_name: z.string(),
  default: z.boolean().optional(),
  data_files: dataFilesSchema.optional(),
  data_dir: z.string().optional(),
});
const cardSchema = z.object({ configs: z.array(subsetSchema).optional() });

/** A subset of a data set as its card (README.md) declares it. */
export interface DeclaredSubset {
  readonly name: string;
  readonly isDefault: boolean;
  /** Patterns of paths by split; undefined: as the files' names say. */
  readonly splits: readonly { readonly split: string; readonly path: readonly string[] }[] | undefined;
  readonly folder: string | undefined;
}

/** The subsets that a card declares between its two lines of three dashes; none when it declares none, or is not to be understood. */
export function declaredSubsets(card: string | undefined): readonly DeclaredSubset[] {
  const matter = /^---\r?\n([^]*?)\r?\n---(?:\r?\n|$)/.exec(card ?? '')?.[1];
  if (matter === undefined) return [];
  let value: unknown;
  try {
    value = parse(matter, { maxAliasCount: 100 });
  } catch {
    return [];
  }
  const parsed = cardSchema.safeParse(value);
  return (parsed.data?.configs ?? []).map((subset) => ({
    name: subset.config_name,
    isDefault: subset.default ?? subset.config_name === 'default',
    splits: subset.data_files,
    folder: subset.data_dir?.replace(/^\.\/|\/+$/g, ''),
  }));
}
