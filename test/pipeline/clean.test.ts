import assert from 'node:assert/strict';
import { cpSync, existsSync, readdirSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { PipelineError } from '../../src/pipeline/errors.ts';
import { cleanWorkspace, removableFolders, type CleaningPolicy, type MarkedFolder } from '../../src/pipeline/workspace/clean.ts';
import { diskFileSystem, type FileSystem } from '../../src/pipeline/workspace/file-system.ts';
import { markName, markOwner, ownerMarks } from '../../src/pipeline/workspace/owners.ts';
import { Workspace } from '../../src/pipeline/workspace/workspace.ts';
import { finishedFiles, temporaryFolder } from './files.ts';
import { MortalFileSystem, type Fate } from './mortal-file-system.ts';
import { isDeath } from './death.ts';
import { runToy, silentLog } from './toy-steps.ts';

const mine = { namespace: 'team', name: 'math' };
const other = { namespace: 'team', name: 'code' };
const options = { log: silentLog, signal: new AbortController().signal };

describe('which folders a cleaning removes', () => {
  const hash = (n: number): string => String(n).padStart(16, '0');
  const folder = (step: MarkedFolder['step'], n: number, marks: Readonly<Record<string, number>>): MarkedFolder => ({
    ...{ step, hash: hash(n), folder: `/w/${step}-${hash(n)}` },
    marks: Object.entries(marks).map(([name, usedMs]) => ({ name, usedMs })),
  });
  const all = [1, 2, 3, 4, 5].map((n) => folder('respond', n, { 'team.math': n }));
  const cases: readonly (readonly [string, readonly MarkedFolder[], Partial<CleaningPolicy>, readonly number[]])[] = [
    ['the older ones, beyond those kept beside the current', all, { current: [hash(5)] }, [2, 1]],
    ['never a current one, however old', all, { current: [hash(1)] }, [3, 2]],
    [
      'as many of each step',
      [...all, folder('convert', 6, { 'team.math': 1 }), folder('convert', 7, { 'team.math': 2 })],
      { keep: 1 },
      [6, 4, 3, 2, 1],
    ],
    ['training and bundles, too', [folder('train', 1, { 'team.math': 1 }), folder('bundle', 2, { 'team.math': 1 })], { keep: 0 }, [1, 2]],
    ['none that another router has used', [folder('respond', 1, { 'team.math': 1, 'team.code': 1 })], { keep: 0 }, []],
    ['none of another router', [folder('respond', 1, { 'team.code': 1 })], { keep: 0 }, []],
    ['none that nobody has marked', [folder('respond', 1, {})], { keep: 0 }, []],
    ['none with a mark that is no router’s', [folder('respond', 1, { 'team.math': 1, strange: 1 })], { keep: 0 }, []],
    [
      'counting a shared one among those kept',
      [folder('respond', 9, { 'team.math': 9, 'team.code': 1 }), ...all],
      { keep: 1 },
      [5, 4, 3, 2, 1],
    ],
    ['by this router’s own use', [folder('respond', 9, { 'team.math': 0, 'team.code': 99 }), ...all], { keep: 4 }, [1]],
  ];
  for (const [sentence, folders, policy, expected] of cases)
    it(sentence, () => {
      const found = removableFolders(folders, { owner: mine, keep: 2, current: [], ...policy });
      assert.deepEqual(
        found.map((each) => each.hash),
        expected.map(hash),
      );
    });
});

describe('cleaning a workspace', function () {
  this.timeout(120_000);
  let folder: string;
  /** Three runs of one router, with two steps each, the second of them shared with another router. */
  let filled: string;
  let hashes: readonly (readonly string[])[];

  const names = (workspace: string): readonly string[] => readdirSync(workspace).sort();
  const stepsOf = (workspace: string, hash: string): string =>
    names(workspace).find((name) => name.endsWith(hash)) ?? assert.fail(`${hash} is not there`);

  before(async () => {
    folder = temporaryFolder();
    filled = join(folder, 'filled');
    const made: string[][] = [];
    let seen: readonly string[] = [];
    for (const [index, count] of [3, 5, 7, 9].entries()) {
      await runToy({ folder: filled, count, owner: mine });
      const fresh = names(filled).filter((name) => !seen.includes(name));
      made.push(fresh.map((name) => name.slice(-16)));
      seen = names(filled);
      const time = new Date(Date.UTC(2026, 0, 1 + index));
      for (const name of fresh) utimesSync(join(filled, name, 'owners', markName(mine)), time, time);
    }
    await runToy({ folder: filled, count: 5, owner: other });
    hashes = made;
  });
  after(() => rmSync(folder, { recursive: true }));

  const copy = (name: string): string => {
    const to = join(folder, name);
    rmSync(to, { recursive: true, force: true });
    cpSync(filled, to, { recursive: true, preserveTimestamps: true });
    return to;
  };
  const policy = (): CleaningPolicy => ({ owner: mine, keep: 1, current: hashes[3] ?? [] });

  it('marks what a step writes and what it reads, and the data is the same as without marks', async () => {
    const plain = join(folder, 'plain');
    await runToy({ folder: plain, count: 5 });
    for (const name of names(plain)) {
      assert.deepEqual(
        (await ownerMarks(diskFileSystem, join(plain, name))).map((mark) => mark.name),
        [],
      );
      const marks = await ownerMarks(diskFileSystem, join(filled, name));
      assert.deepEqual(
        marks.map((mark) => mark.name),
        ['team.code', 'team.math'],
      );
      assert.deepEqual(finishedFiles(join(plain, name)), finishedFiles(join(filled, name)));
    }
    assert.ok(Object.keys(finishedFiles(filled)).every((name) => !name.includes('owners')));
  });

  it('marks before it looks for what is there, and never makes a folder that it would read', async () => {
    const seen: string[] = [];
    const watching: FileSystem = {
      ...diskFileSystem,
      read: (path) => diskFileSystem.read((seen.push(`read ${path.slice(filled.length + 1, -5)}`), path)),
      touch: (path) => diskFileSystem.touch((seen.push(`touch ${path.slice(filled.length + 1)}`), path)),
    };
    const [convert = '', respond = ''] = (hashes[1] ?? []).map((hash) => stepsOf(filled, hash));
    await runToy({ folder: filled, count: 5, owner: other, fileSystem: watching });
    const first = (what: string): number => seen.findIndex((each) => each.startsWith(what));
    for (const name of [convert, respond])
      assert.ok(first(`touch ${name}`) >= 0 && first(`touch ${name}`) < first(`read ${name}`), seen.join('\n'));
    const input = { hash: '0'.repeat(16), digest: '0'.repeat(64) };
    await assert.rejects(new Workspace(filled, diskFileSystem, other).input('convert', input), { code: 'PIPELINE_INPUT_MISSING' });
    assert.ok(!existsSync(join(filled, `convert-${input.hash}`)));
  });

  it('removes earlier results but the newest, and none that another router has used', async () => {
    const workspace = copy('once');
    const removed = await cleanWorkspace(workspace, policy(), options);
    assert.deepEqual(removed.map((each) => each.hash).sort(), [...(hashes[0] ?? [])].sort());
    assert.ok(removed.every(({ bytes }) => bytes > 100));
    assert.equal(names(workspace).length, 6);
    assert.deepEqual(await cleanWorkspace(workspace, policy(), options), []);
    const left = await cleanWorkspace(workspace, { ...policy(), keep: 0, current: [] }, options);
    assert.equal(left.length, 4);
    assert.deepEqual(
      names(workspace)
        .map((name) => name.slice(-16))
        .sort(),
      [...(hashes[1] ?? [])].sort(),
    );
  });

  it('takes files that were set aside along, and leaves alone what is no step’s', async () => {
    const workspace = copy('others');
    const [old = ''] = hashes[0] ?? [];
    writeFileSync(join(workspace, stepsOf(workspace, old), 'data', 'part-00000.parquet.corrupt'), 'x');
    writeFileSync(join(workspace, 'notes'), 'mine');
    await cleanWorkspace(workspace, policy(), options);
    assert.ok(existsSync(join(workspace, 'notes')));
    assert.ok(names(workspace).every((name) => !name.endsWith(old)));
  });

  /** A file system in which something happens as soon as a folder is on its way out. */
  const meanwhile = (happens: (aside: string, name: string) => Promise<void>): FileSystem => ({
    ...diskFileSystem,
    async rename(from, to) {
      await diskFileSystem.rename(from, to);
      if (to.includes('.leaving.')) await happens(to, from);
    },
  });

  it('puts a folder back that another router, or this one, has begun to use meanwhile', async () => {
    for (const owner of [other, mine]) {
      const workspace = copy('used');
      const before = finishedFiles(workspace);
      const fileSystem = meanwhile((aside) => markOwner(diskFileSystem, aside, owner, false));
      assert.deepEqual(await cleanWorkspace(workspace, policy(), { ...options, fileSystem }), []);
      assert.deepEqual(finishedFiles(workspace), before);
    }
  });

  it('lets it go when whoever uses it has begun to make it anew', async () => {
    const workspace = copy('anew');
    const fileSystem = meanwhile(async (aside, name) => {
      await markOwner(diskFileSystem, aside, other, false);
      await diskFileSystem.makeFolder(join(name, 'data'));
      await markOwner(diskFileSystem, name, other, true);
    });
    await cleanWorkspace(workspace, policy(), { ...options, fileSystem });
    assert.ok(names(workspace).every((name) => !name.startsWith('.')));
    for (const hash of hashes[0] ?? []) {
      const marks = await ownerMarks(diskFileSystem, join(workspace, stepsOf(workspace, hash)));
      assert.deepEqual(
        marks.map((mark) => mark.name),
        ['team.code'],
      );
    }
  });

  it('that was killed with a folder on its way out has not lost it: whoever needs it takes it back', async () => {
    const workspace = copy('taken-back');
    const before = finishedFiles(workspace);
    const file = join(workspace, stepsOf(workspace, hashes[0]?.[0] ?? ''), 'manifest.json');
    const { ino } = statSync(file);
    const fileSystem = meanwhile(() => Promise.reject(new Error('killed')));
    await assert.rejects(cleanWorkspace(workspace, policy(), { ...options, fileSystem }), /killed/);
    assert.ok(!existsSync(file));
    await runToy({ folder: workspace, count: 3, owner: other });
    assert.equal(statSync(file).ino, ino);
    assert.deepEqual(finishedFiles(workspace), before);
  });

  it('that is stopped says so, and has removed some or none', async () => {
    const workspace = copy('stopped');
    const signal = AbortSignal.abort(new Error('stopped'));
    await assert.rejects(cleanWorkspace(workspace, policy(), { ...options, signal }), /stopped/);
    assert.equal(names(workspace).length, 8);
  });

  for (const [what, fateAt] of [
    ['a kill', (at: number): Fate => ({ killedAt: at })],
    ['a loss of power', (at: number): Fate => ({ powerLostAt: at })],
  ] as const)
    it(`goes on after ${what} at any file operation, by the next cleaning of any router, and no folder is ever there in part`, async () => {
      const wholeRun = new MortalFileSystem({ killedAt: Infinity });
      const clean = copy('clean');
      await cleanWorkspace(clean, policy(), { ...options, fileSystem: wholeRun });
      assert.ok(wholeRun.operations >= 8);
      const parts = finishedFiles(filled);
      for (let at = 0; at < wholeRun.operations; at++) {
        const workspace = copy('mortal');
        const dying = cleanWorkspace(workspace, policy(), { ...options, fileSystem: new MortalFileSystem(fateAt(at)) });
        await assert.rejects(dying, isDeath);
        for (const name of names(workspace).filter((each) => !each.startsWith('.')))
          for (const [file, bytes] of Object.entries(parts).filter(([each]) => each.startsWith(`${name}/`)))
            assert.equal(finishedFiles(workspace)[file], bytes, `${at}: ${file}`);
        await cleanWorkspace(workspace, { owner: other, keep: 50, current: [] }, options);
        assert.ok(
          names(workspace).every((name) => !name.startsWith('.')),
          `${at}: ${names(workspace).join(' ')}`,
        );
        await cleanWorkspace(workspace, policy(), options);
        assert.deepEqual(finishedFiles(workspace), finishedFiles(clean), String(at));
      }
    });

  it('goes on after a kill while a folder was put back', async () => {
    for (let at = 0; at < 12; at++) {
      const workspace = copy('back');
      const before = finishedFiles(workspace);
      const mortal = new MortalFileSystem({ killedAt: at });
      const rename = mortal.rename.bind(mortal);
      mortal.rename = async (from, to) => {
        await rename(from, to);
        if (to.includes('.leaving.')) await markOwner(diskFileSystem, to, other, false);
      };
      await cleanWorkspace(workspace, policy(), { ...options, fileSystem: mortal }).catch((error: unknown) => assert.ok(isDeath(error)));
      await cleanWorkspace(workspace, { owner: other, keep: 50, current: [] }, options);
      assert.deepEqual(finishedFiles(workspace), before, String(at));
    }
  });

  it('beside a router that begins to use the same folders costs that one at most a second try', async () => {
    const slow = (): FileSystem => ({
      ...diskFileSystem,
      rename: async (from, to) => {
        await sleep(Math.random() * 3);
        await diskFileSystem.rename(from, to);
      },
      touch: async (path) => {
        await sleep(Math.random() * 3);
        await diskFileSystem.touch(path);
      },
    });
    const expected = join(folder, 'expected');
    await runToy({ folder: expected, count: 3 });
    let again = 0;
    for (let round = 0; round < 40; round++) {
      const workspace = copy('race');
      const run = { folder: workspace, count: 3, owner: other };
      const cleaning = cleanWorkspace(workspace, policy(), { ...options, fileSystem: slow() });
      await sleep(Math.random() * 6);
      const failed = await runToy({ ...run, fileSystem: slow() }).then(
        () => false,
        (error: unknown) => {
          assert.ok(error instanceof PipelineError, String(error));
          assert.match(error.code, /^PIPELINE_(INPUT_MISSING|PART_CORRUPT|WORKSPACE)$/);
          return true;
        },
      );
      await cleaning;
      if (failed) {
        again++;
        await runToy(run);
      }
      const found = finishedFiles(workspace);
      for (const [file, bytes] of Object.entries(finishedFiles(expected))) assert.equal(found[file], bytes, file);
      assert.ok(names(workspace).every((name) => !name.startsWith('.')));
    }
    assert.ok(again < 20);
  });
});
