/** One `x-kubernetes-validations` entry: a CEL expression over `self`, and the sentence a user reads when it is false. */
export interface Rule {
  readonly rule: string;
  readonly message: string;
}

/** Metadata for a zod schema that carries rules into the CRD: `z.string().meta(rules({ rule, message }))`. */
export function rules(...entries: readonly Rule[]): { 'x-kubernetes-validations': readonly Rule[] } {
  return { 'x-kubernetes-validations': entries };
}

/** Metadata that makes an object free-form for the API server: its content is kept as sent and checked by whoever uses it. */
export const freeForm = { 'x-kubernetes-preserve-unknown-fields': true } as const;
