import { crc32 } from 'node:zlib';
import { opcodes } from '../../../src/model/checkpoint/opcodes.ts';
import { archive, extraField, type ArchiveSpec, type EntrySpec } from './archives.ts';

/** Uniform in [0, 1), the same for the same seed (mulberry32). */
export function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A sound checkpoint that is mutated. */
export interface Sample {
  readonly bytes: Buffer;
  readonly entries: readonly EntrySpec[];
}

const codes = Object.values(opcodes);
const globals = [
  'posix\nsystem\n',
  'builtins\neval\n',
  'torch\nHalfStorage\n',
  'torch\nSize\n',
  'numpy\ndtype\n',
  'collections\nOrderedDict\n',
];
const paths = [
  '../x',
  'router/../../x',
  '/etc/passwd',
  'router/data.pkl',
  'router/data/0',
  'a',
  '',
  'router\\x',
  'router/version',
  '\u0000',
];
const numbers = [0, 1, 8, 0x7f, 0xff, 0xffff, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff];

/** Draws for one mutated file. */
class Mutator {
  readonly random: () => number;
  readonly samples: readonly Sample[];

  constructor(random: () => number, samples: readonly Sample[]) {
    this.random = random;
    this.samples = samples;
  }

  below(limit: number): number {
    return Math.floor(this.random() * limit);
  }

  pick<T>(choices: readonly T[]): T {
    return choices[this.below(choices.length)]!;
  }

  noise(length: number): Buffer {
    return Buffer.from(Array.from({ length }, () => this.below(256)));
  }

  private changeByte(bytes: Buffer): Buffer {
    const copy = Buffer.from(bytes);
    for (let flips = 1 + this.below(8); flips > 0; flips--) {
      if (copy.length > 0) copy[this.below(copy.length)] = this.random() < 0.5 ? this.below(256) : this.pick(numbers) & 0xff;
    }
    return copy;
  }

  /** Puts a part of `other`, or noise, in the place of a part of `bytes`. */
  private splice(bytes: Buffer, other: Buffer): Buffer {
    const start = this.below(bytes.length + 1);
    const from = this.below(other.length + 1);
    const insert = this.random() < 0.3 ? this.noise(this.below(32)) : other.subarray(from, from + this.below(200));
    return Buffer.concat([bytes.subarray(0, start), insert, bytes.subarray(start + (this.random() < 0.5 ? 0 : this.below(200)))]);
  }

  /** Any bytes: flips, splices, a cut. */
  blind(bytes: Buffer): Buffer {
    const kind = this.below(3);
    if (kind === 0) return this.changeByte(bytes);
    return kind === 1 ? this.splice(bytes, this.pick(this.samples).bytes) : bytes.subarray(0, this.below(bytes.length));
  }

  private pickleOnce(bytes: Buffer): Buffer {
    const at = this.below(bytes.length);
    const around = (middle: Buffer, removed: number) => Buffer.concat([bytes.subarray(0, at), middle, bytes.subarray(at + removed)]);
    switch (this.below(7)) {
      case 0:
        return around(Buffer.of(this.pick(codes)), 1);
      case 1:
        return around(Buffer.of(this.pick(codes)), 0);
      case 2:
        return around(Buffer.concat([Buffer.of(opcodes.GLOBAL), Buffer.from(this.pick(globals))]), this.below(3));
      case 3: {
        const value = Buffer.alloc(5, opcodes.BININT);
        value.writeUInt32LE(this.pick(numbers), 1);
        return around(value, this.pick([0, 2, 5]));
      }
      case 4:
        return around(Buffer.of(this.pick([opcodes.BINGET, opcodes.BINPUT]), this.below(256)), this.pick([0, 2]));
      case 5:
        return around(Buffer.alloc(1 + this.below(100), this.pick(codes)), 0);
      default:
        return this.random() < 0.5 ? this.changeByte(bytes) : this.splice(bytes, this.pick(this.samples).entries[0]!.data);
    }
  }

  /** Other operations in an archive that is sound again. */
  pickle(entries: readonly EntrySpec[]): Buffer {
    return archive(
      entries.map((entry) => {
        if (!entry.name.endsWith('data.pkl')) return entry;
        let data = entry.data;
        for (let times = 1 + this.below(3); times > 0 && data.length > 0; times--) data = this.pickleOnce(data);
        return { ...entry, data };
      }),
    );
  }

  private entryChange(entry: EntrySpec): Partial<EntrySpec> {
    const changes: readonly (() => Partial<EntrySpec>)[] = [
      () => ({ name: this.pick(paths) }),
      () => ({ size: this.pick(numbers) }),
      () => ({ packed: this.pick(numbers) }),
      () => ({ flags: this.below(0x10000) }),
      () => ({ method: this.below(100) }),
      () => ({ crc: this.below(2 ** 32) }),
      () => ({ zip64: true, size: this.pick([...numbers, 2 ** 40, 2 ** 60]) }),
      () => ({ extra: this.random() < 0.5 ? this.noise(this.below(40)) : extraField(this.pick([1, 0x4246]), this.noise(this.below(40))) }),
      () => ({ directoryExtra: extraField(1, this.noise(this.pick([0, 4, 8, 16, 24]))) }),
      () => ({ descriptor: this.noise(this.pick([0, 12, 16, 20, 24])) }),
      () => ({ headerOffset: this.pick(numbers) }),
      () => ({ local: { name: this.pick(paths) } }),
      () => ({ local: { size: this.pick(numbers) } }),
      () => ({ comment: 'x' }),
      () => ({ data: this.blind(entry.data) }),
      () => ({ data: Buffer.alloc(0) }),
    ];
    return this.pick(changes)();
  }

  /** Another archive around the same content: headers that lie, entries that come twice, records that are off. */
  archive(entries: readonly EntrySpec[]): Buffer {
    const changed = entries.map((entry) => (this.random() < 1.5 / entries.length ? { ...entry, ...this.entryChange(entry) } : entry));
    if (this.random() < 0.2) changed.push(this.pick(entries));
    if (this.random() < 0.2) changed.splice(this.below(changed.length), 1);
    if (this.random() < 0.2) changed.sort(() => this.random() - 0.5);
    const form: ArchiveSpec = {
      narrow: this.random() < 0.3,
      ...(this.random() < 0.1 && { before: this.noise(4) }),
      ...(this.random() < 0.1 && { after: this.noise(4) }),
      ...(this.random() < 0.3 && { directory: (bytes: Buffer) => (this.random() < 0.5 ? this.changeByte(bytes) : this.blind(bytes)) }),
      ...(this.random() < 0.3 && { end: (bytes: Buffer) => this.changeByte(bytes) }),
    };
    return archive(changed, form);
  }

  /** Checksums made right after blind changes of an entry's data. */
  content(entries: readonly EntrySpec[]): Buffer {
    const at = this.below(entries.length);
    return archive(
      entries.map((entry, index) => {
        if (index !== at || entry.data.length === 0) return entry;
        const data = this.changeByte(entry.data);
        return { ...entry, data, crc: crc32(data) };
      }),
    );
  }
}

/** The mutated file that belongs to `seed`. */
export function mutated(samples: readonly Sample[], seed: number): Buffer {
  const mutator = new Mutator(randomFrom(seed), samples);
  const sample = mutator.pick(samples);
  const kind = mutator.random();
  if (kind < 0.25) return mutator.blind(sample.bytes);
  if (kind < 0.7) return mutator.pickle(sample.entries);
  return kind < 0.9 ? mutator.archive(sample.entries) : mutator.content(sample.entries);
}
