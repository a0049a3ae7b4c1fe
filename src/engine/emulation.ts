/** Step times of another device, in milliseconds. */
export interface Emulation {
  /** One decode step of the whole batch. */
  readonly decode: number;
  /** One step that computes prompts, whatever their length. */
  readonly extend: number;
  /** Each prompt token of such a step, on top. */
  readonly prefill: number;
}

const keys = ['decode', 'extend', 'prefill'] as const;

/**
 * Parses `decode=3.1,prefill=0.05,extend=4`. `extend` defaults to `decode`: a step for one new prompt token costs about as much as a
 * decode step. Throws a RangeError that says what is wrong.
 */
export function parseEmulation(text: string): Emulation {
  const values = new Map<string, number>();
  for (const part of text.split(',')) {
    const [key = '', value = ''] = part.split('=').map((piece) => piece.trim());
    const milliseconds = Number(value);
    if (!keys.some((known) => known === key))
      throw new RangeError(`--emulate has no setting "${key}"; there are ${keys.join(', ')}, as in decode=3.1,prefill=0.05`);
    if (value === '' || !Number.isFinite(milliseconds) || milliseconds < 0)
      throw new RangeError(`--emulate ${key} must be milliseconds, got "${value}"`);
    values.set(key, milliseconds);
  }
  const decode = values.get('decode') ?? 0;
  return { decode, extend: values.get('extend') ?? decode, prefill: values.get('prefill') ?? 0 };
}

/** Milliseconds a step takes on the emulated device; `promptTokens` 0 is a decode step. */
export function emulatedMs(emulation: Emulation | undefined, promptTokens: number): number {
  if (!emulation) return 0;
  return promptTokens === 0 ? emulation.decode : emulation.extend + promptTokens * emulation.prefill;
}
