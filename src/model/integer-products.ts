import { readFileSync } from 'node:fs';

/** The instructions by which x86 sums uint8 x int8 products in 32 bits: without them a step of the sum has 16 bits, and may overflow. */
const exactInstructions = ['avx512_vnni', 'avx_vnni'];

/**
 * Whether this processor's sums of uint8 x int8 products are exact; where that is not known, no. ONNX Runtime then has to compute in uint8 x uint8,
 * which is exact everywhere and on processors that need no such help takes twice as long.
 */
export function sumsExactly(architecture: string = process.arch, processor: string = describedProcessor()): boolean {
  if (architecture !== 'x64') return true;
  const flags = /^flags\s*:(.*)$/m.exec(processor)?.[1]?.trim().split(/\s+/) ?? [];
  return exactInstructions.some((instruction) => flags.includes(instruction));
}

function describedProcessor(): string {
  try {
    return readFileSync('/proc/cpuinfo', 'utf8');
  } catch {
    return '';
  }
}
