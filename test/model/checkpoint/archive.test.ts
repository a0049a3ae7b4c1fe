import assert from 'node:assert/strict';
import { deflateRawSync } from 'node:zlib';
import { archive, checkpointEntries, extraField, type ArchiveSpec, type EntrySpec } from './archives.ts';
import { checkpointPickle, storage, tensor } from './pickles.ts';
import { Checkpoints } from './refusals.ts';

const four = Buffer.from(Float32Array.of(1, 2, 3, 4).buffer);
const pickle = checkpointPickle({ state_dict: { w: tensor({ of: storage('FloatStorage', '0', 4), shape: [4] }) } });
const entries = () => checkpointEntries(pickle, { 0: four });

/** The entries with the one of that name changed. */
function changed(name: string, change: Partial<EntrySpec>): EntrySpec[] {
  return entries().map((entry) => (entry.name === `router/${name}` ? { ...entry, ...change } : entry));
}

function patched(at: number, bytes: readonly number[]) {
  return (whole: Buffer) => {
    const copy = Buffer.from(whole);
    copy.set(bytes, at < 0 ? whole.length + at : at);
    return copy;
  };
}

describe('the archive of a checkpoint', () => {
  const checkpoints = new Checkpoints();
  before(() => checkpoints.start());
  after(() => checkpoints.stop());

  describe('is read', () => {
    const forms: readonly (readonly [name: string, specs: EntrySpec[], form?: ArchiveSpec])[] = [
      ["in torch's form", entries()],
      ['without a 64-bit end record', entries(), { narrow: true }],
      ['with sizes before the data', entries().map((entry) => ({ ...entry, flags: 0 }))],
      ['with 64-bit sizes after the data', entries().map((entry) => ({ ...entry, zip64: true }))],
      ['with 64-bit sizes before the data', entries().map((entry) => ({ ...entry, zip64: true, flags: 0x0800 }))],
      ['with padding fields', entries().map((entry) => ({ ...entry, extra: extraField(0x4246, Buffer.alloc(4000, 'Z')) }))],
      ['in another order', entries().reverse()],
      [
        'with the notes of newer versions',
        [
          ...entries(),
          { name: 'router/.format_version', data: Buffer.from('1') },
          { name: 'router/.storage_alignment', data: Buffer.from('64') },
          { name: 'router/.data/serialization_id', data: Buffer.from('0826864773560457') },
        ],
      ],
      [
        'from a folder of another name',
        entries().map((entry) => ({ ...entry, name: entry.name.replace('router', '模型 2026-01-01 10:00') })),
      ],
    ];
    for (const [name, specs, form] of forms) {
      it(name, async () => {
        const values = await checkpoints.read(archive(specs, form), (checkpoint) => checkpoint.tensors.get('w')!.read());
        assert.deepEqual([...values], [1, 2, 3, 4]);
      });
    }
  });

  describe('is refused', () => {
    type Refusal = readonly [name: string, specs: readonly EntrySpec[], code: string, message: RegExp, form?: ArchiveSpec];
    const odd = [
      'router/../data.pkl',
      '../router/data.pkl',
      '/router/data.pkl',
      'router//data.pkl',
      'router\\data.pkl',
      'router/./version',
    ];
    const archives: readonly Refusal[] = [
      ...odd.map((name): Refusal => [
        `for the path ${name}`,
        [...entries(), { name, data: four }],
        'CHECKPOINT_ARCHIVE',
        /has a path that torch does not write/,
      ]),
      [
        'for a control character',
        changed('version', { name: 'router/version\u0000' }),
        'CHECKPOINT_ARCHIVE',
        /"router\/version\\u0000" has a path/,
      ],
      ['for an entry without a folder', changed('version', { name: 'version' }), 'CHECKPOINT_ARCHIVE', /"version" has a path/],
      ['for a folder', [...entries(), { name: 'router/', data: Buffer.alloc(0) }], 'CHECKPOINT_ARCHIVE', /"router\/" has a path/],
      [
        'for two folders',
        changed('version', { name: 'other/version' }),
        'CHECKPOINT_ARCHIVE',
        /"other\/version" is outside the folder "router"/,
      ],
      [
        'for two data.pkl',
        [...entries(), { name: 'router/data.pkl', data: pickle }],
        'CHECKPOINT_ARCHIVE',
        /two archive entries are called "router\/data\.pkl"/,
      ],
      [
        'for an unknown entry',
        [...entries(), { name: 'router/setup.py', data: four }],
        'CHECKPOINT_ARCHIVE',
        /"router\/setup\.py" is not one that torch writes/,
      ],
      [
        'for a storage of an odd name',
        [...entries(), { name: 'router/data/x', data: four }],
        'CHECKPOINT_ARCHIVE',
        /"router\/data\/x" is not one/,
      ],
      ['for TorchScript', [...entries(), { name: 'router/constants.pkl', data: four }], 'CHECKPOINT_FORMAT', /TorchScript/],
      [
        'for compression',
        changed('data.pkl', { method: 8, data: deflateRawSync(pickle), size: pickle.length }),
        'CHECKPOINT_ARCHIVE',
        /"router\/data\.pkl" is compressed/,
      ],
      [
        'for a bomb that claims to be stored',
        changed('data/0', { size: 2 ** 32 - 2, packed: 16 }),
        'CHECKPOINT_ARCHIVE',
        /claims (4294967294 bytes from 16 stored ones|bytes beyond)/,
      ],
      [
        'for a size beyond the file',
        changed('data/0', { size: 2 ** 31 }),
        'CHECKPOINT_ARCHIVE',
        /"router\/data\/0" claims bytes beyond the file's/,
      ],
      [
        'for a 64-bit size beyond the file',
        changed('data/0', { zip64: true, size: 2 ** 60 }),
        'CHECKPOINT_ARCHIVE',
        /claims bytes beyond the file's/,
      ],
      [
        'for a size that runs into the next entry',
        changed('data/0', { size: 20 }),
        'CHECKPOINT_ARCHIVE',
        /"router\/data\/0" (and the directory disagree|is not followed)/,
      ],
      [
        'for a size that leaves bytes over',
        changed('data/0', { size: 12 }),
        'CHECKPOINT_ARCHIVE',
        /"router\/data\/0" is not followed by its checksum/,
      ],
      ['for encryption', changed('data/0', { flags: 0x0809 }), 'CHECKPOINT_ARCHIVE', /is encrypted/],
      ['for other flags', changed('data/0', { flags: 0x0848 }), 'CHECKPOINT_ARCHIVE', /has flags 0x848/],
      ['for a comment', changed('data/0', { comment: 'x' }), 'CHECKPOINT_ARCHIVE', /has a comment/],
      [
        'for another local name',
        changed('data/0', { local: { name: 'router/data/1' } }),
        'CHECKPOINT_ARCHIVE',
        /"router\/data\/0" and the directory disagree about its name/,
      ],
      ['for other local flags', changed('data/0', { local: { flags: 0x0808 | 1 } }), 'CHECKPOINT_ARCHIVE', /disagree about its flags/],
      ['for local compression', changed('data/0', { local: { method: 8 } }), 'CHECKPOINT_ARCHIVE', /disagree about its compression/],
      ['for another local size', changed('data/0', { flags: 0, local: { size: 8 } }), 'CHECKPOINT_ARCHIVE', /disagree about its size/],
      [
        'for another local checksum',
        changed('data/0', { flags: 0, local: { crc: 1 } }),
        'CHECKPOINT_ARCHIVE',
        /disagree about its checksum/,
      ],
      [
        'for a wrong descriptor',
        changed('data/0', { descriptor: Buffer.from('PK\x07\x08aaaabbbbcccc') }),
        'CHECKPOINT_ARCHIVE',
        /is not followed by its checksum and size/,
      ],
      [
        'for no descriptor',
        changed('version', { descriptor: Buffer.alloc(0) }),
        'CHECKPOINT_ARCHIVE',
        /is not followed by its checksum and size/,
      ],
      ['for entries at one place', changed('data/0', { headerOffset: 0 }), 'CHECKPOINT_ARCHIVE', /disagree about its (place|name)/],
      ['for an entry inside another', changed('data/0', { headerOffset: 40 }), 'CHECKPOINT_ARCHIVE', /it overlaps with what follows/],
      [
        'for an entry in the directory',
        changed('data/0', { headerOffset: 2 ** 31 }),
        'CHECKPOINT_ARCHIVE',
        /claims bytes beyond the file's/,
      ],
      [
        'for bytes before the first entry',
        entries(),
        'CHECKPOINT_ARCHIVE',
        /3 bytes precede the first archive entry/,
        { before: Buffer.from('#!x') },
      ],
      [
        'for bytes before the directory',
        entries(),
        'CHECKPOINT_ARCHIVE',
        /4 bytes follow that belong to no entry/,
        { after: Buffer.from('evil') },
      ],
      [
        'for a malformed extra field',
        changed('data/0', { directoryExtra: Buffer.of(1, 0, 9, 0) }),
        'CHECKPOINT_ARCHIVE',
        /malformed extra fields/,
      ],
      [
        'for two zip64 fields',
        changed('data/0', { directoryExtra: Buffer.concat([extraField(1, four), extraField(1, four)]) }),
        'CHECKPOINT_ARCHIVE',
        /malformed extra fields/,
      ],
      [
        'for a zip64 field that is too short',
        changed('data/0', { zip64: true, directoryExtra: extraField(1, four.subarray(0, 8)) }),
        'CHECKPOINT_ARCHIVE',
        /zip64 field that is too short/,
      ],
      [
        'for a directory entry without its signature',
        entries(),
        'CHECKPOINT_ARCHIVE',
        /directory is malformed at byte/,
        { directory: patched(0, [0]) },
      ],
      [
        'for a directory that is cut',
        entries(),
        'CHECKPOINT_ARCHIVE',
        /directory is malformed at byte/,
        { directory: (bytes) => bytes.subarray(0, -3) },
      ],
      ['for a name that is not UTF-8', entries(), 'CHECKPOINT_ARCHIVE', /a name that is not UTF-8/, { directory: patched(46, [0xff]) }],
      [
        'for one entry more than there are',
        entries(),
        'CHECKPOINT_ARCHIVE',
        /end record (has two numbers|and its 64-bit form disagree)/,
        { end: patched(-12, [5]) },
      ],
      ['for several disks', entries(), 'CHECKPOINT_ARCHIVE', /speaks of several disks/, { end: patched(-18, [1]) }],
      [
        'for a directory elsewhere',
        entries(),
        'CHECKPOINT_ARCHIVE',
        /does not follow the directory/,
        { narrow: true, end: patched(-6, [1, 0, 0, 0]) },
      ],
      [
        'for a 64-bit end record elsewhere',
        entries(),
        'CHECKPOINT_ARCHIVE',
        /64-bit form that is malformed/,
        { end: patched(56 + 8, [1]) },
      ],
      ['for 2^63 entries', entries(), 'CHECKPOINT_ARCHIVE', /disagree|malformed/, { end: patched(32, [0, 0, 0, 0, 0, 0, 0, 0x80]) }],
      [
        'for a checksum',
        changed('data.pkl', { crc: 1 }),
        'CHECKPOINT_DAMAGED',
        /"data\.pkl" contradicts its checksum.*download or copy it again/,
      ],
      ["for a storage's checksum", changed('data/0', { crc: 1 }), 'CHECKPOINT_DAMAGED', /"data\/0" contradicts its checksum/],
      ['for big-endian data', changed('byteorder', { data: Buffer.from('big') }), 'CHECKPOINT_FORMAT', /byte order "big", not "little"/],
      ['for a long note', changed('byteorder', { data: Buffer.alloc(65, 'l') }), 'CHECKPOINT_ARCHIVE', /"byteorder" has 65 bytes/],
      ['for another version', changed('version', { data: Buffer.from('11\n') }), 'CHECKPOINT_FORMAT', /format version "11"/],
      ['without a version', entries().filter(({ name }) => !name.endsWith('version')), 'CHECKPOINT_FORMAT', /without the entry "version"/],
      ['without a pickle', entries().filter(({ name }) => !name.endsWith('.pkl')), 'CHECKPOINT_FORMAT', /without the entry "data\.pkl"/],
      ['without entries', [], 'CHECKPOINT_FORMAT', /without the entry "version"/],
    ];
    for (const [name, specs, code, message, form] of archives) it(name, () => checkpoints.refused(archive(specs, form), code, message));

    it('for too many entries', () =>
      checkpoints.refused(archive(entries()), 'CHECKPOINT_LIMIT', /has 4 entries, more than 3/, { maxEntries: 3 }));

    it('for a directory that is too long', async () => {
      const long = changed('version', { directoryExtra: extraField(7, Buffer.alloc(60_000)) });
      await checkpoints.refused(archive(long), 'CHECKPOINT_LIMIT', /the archive's directory has \d+ bytes for 4 entries/);
    });

    it('for too many bytes', () =>
      checkpoints.refused(archive(entries()), 'CHECKPOINT_LIMIT', /has \d+ bytes, more than 100/, { maxFileBytes: 100 }));

    it('when it is cut anywhere', async () => {
      const whole = archive(entries());
      for (let length = 0; length < whole.length; length += 7)
        await checkpoints.refused(
          whole.subarray(0, length),
          length < 4 ? 'CHECKPOINT_FORMAT' : 'CHECKPOINT_DAMAGED',
          /not a torch checkpoint|does not end/,
        );
    });

    it('when something is behind it', () =>
      checkpoints.refused(Buffer.concat([archive(entries()), Buffer.from('x')]), 'CHECKPOINT_DAMAGED', /does not end with its directory/));

    const tar = Buffer.alloc(512);
    tar.write('ustar', 257);
    const others: readonly (readonly [name: string, bytes: Buffer, message: RegExp])[] = [
      ['an empty file', Buffer.alloc(0), /not a torch checkpoint/],
      ['a bare pickle', Buffer.from([0x80, 2, 0x8a, 10]), /format of before 1\.6 \(a bare pickle\).*torch\.save/],
      ['a tar archive', tar, /first format \(a tar archive\)/],
      ['safetensors', Buffer.concat([Buffer.alloc(8, 1), Buffer.from('{"a":{}}')]), /safetensors format/],
      ['a Git LFS pointer', Buffer.from('version https://git-lfs.example/spec/v1\n'), /Git LFS pointer.*download the file/],
      ['text', Buffer.from('hello '.repeat(100)), /not a torch checkpoint/],
    ];
    for (const [name, bytes, message] of others) it(`when it is ${name}`, () => checkpoints.refused(bytes, 'CHECKPOINT_FORMAT', message));
  });
});
