/**
 * Puts together what an image holds: the compiled program, the packages that it can reach, and for the router the example models.
 *
 *     node tools/image-files.ts operator OUT
 *
 * Runs on this machine for the local cluster and inside `docker build` for everybody else (images/operator/Dockerfile), hence with nothing
 * but Node and the repository.
 */
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, globSync, mkdirSync, readFileSync, readdirSync, rmSync, statSync } from 'node:fs';
import { dirname, join, relative, sep } from 'node:path';

interface Image {
  /** Programs of `r2r <program>` that the image can run. */
  readonly programs: readonly string[];
  /** Folders of the repository that it holds besides. */
  readonly folders: readonly string[];
}

export const images = {
  operator: { programs: ['operator'], folders: [] },
  router: { programs: ['router', 'engine', 'engines', 'pipeline', 'model'], folders: ['examples/models'] },
} as const satisfies Record<string, Image>;
export type ImageName = keyof typeof images;

interface PackageJson {
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly peerDependencies?: Readonly<Record<string, string>>;
}

const readPackage = (folder: string) => JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as PackageJson;

/** Relative paths and packages that a compiled file mentions in quotes: imports of every form, and workers started by path. */
export function mentions(code: string, packages: readonly string[]): { readonly files: string[]; readonly packages: string[] } {
  const quoted = [...code.matchAll(/['"`]([^'"`\s]+)['"`]/g)].map((match) => match[1] ?? '');
  return {
    files: quoted.filter((text) => /^\.{1,2}\/.*\.[jt]s$/.test(text)).map((text) => text.replace(/\.ts$/, '.js')),
    packages: packages.filter((name) => quoted.some((text) => text === name || text.startsWith(`${name}/`))),
  };
}

/** Direct dependencies that the files reachable from `entries` mention. */
function reachablePackages(entries: readonly string[], packages: readonly string[]): Set<string> {
  const found = new Set<string>();
  const seen = new Set<string>();
  const queue = [...entries];
  for (let file = queue.pop(); file; file = queue.pop()) {
    if (seen.has(file) || !existsSync(file)) continue;
    seen.add(file);
    const { files, packages: named } = mentions(readFileSync(file, 'utf8'), packages);
    for (const name of named) found.add(name);
    queue.push(...files.map((path) => join(dirname(file), path)));
  }
  return found;
}

/** The folder that Node would load a package from. */
function locate(name: string, from: string): string | undefined {
  for (let folder = from; ; folder = dirname(folder)) {
    const candidate = join(folder, 'node_modules', name);
    if (existsSync(join(candidate, 'package.json'))) return candidate;
    if (folder === dirname(folder)) return undefined;
  }
}

/** Folders of these packages and of everything they depend on. */
function packageFolders(names: Iterable<string>, root: string): Set<string> {
  const folders = new Set<string>();
  const queue = [...names].map((name) => ({ name, from: root }));
  for (let next = queue.pop(); next; next = queue.pop()) {
    const folder = locate(next.name, next.from);
    if (!folder || folders.has(folder) || next.name.startsWith('@types/')) continue;
    folders.add(folder);
    const { dependencies = {}, peerDependencies = {} } = readPackage(folder);
    queue.push(...[...Object.keys(dependencies), ...Object.keys(peerDependencies)].map((name) => ({ name, from: folder })));
  }
  return folders;
}

/** Whether a file of a package is of use to a running program on this system. */
export function isNeeded(path: string, platform: string, architecture: string): boolean {
  if (/\.(d\.[cm]?ts|[cm]?ts|map|md|markdown|flow|jsii|tsbuildinfo)$|(^|\/)(\.github|man)\//i.test(path)) return false;
  // Binaries for the Bare runtime, which tar-fs (by way of client-node) brings along.
  if (/(^|\/)bare-[a-z]+\/prebuilds\//.test(path)) return false;
  const native = /(^|\/)onnxruntime-node\/bin\/napi-v\d+\/([^/]+)(?:\/([^/]+))?/.exec(path);
  return !native || (native[2] === platform && (native[3] === undefined || native[3] === architecture));
}

function copyPackages(folders: Iterable<string>, root: string, out: string): void {
  for (const folder of folders) {
    const target = join(out, relative(root, folder));
    cpSync(folder, target, {
      recursive: true,
      filter: (source) => {
        const inside = relative(folder, source).split(sep);
        // Packages inside packages are copied on their own, if they are needed.
        if (inside.includes('node_modules') && !isBundled(folder, inside)) return false;
        return statSync(source).isDirectory() || isNeeded(relative(root, source).split(sep).join('/'), process.platform, process.arch);
      },
    });
  }
}

const isBundled = (folder: string, inside: readonly string[]) =>
  inside[0] === 'node_modules' && 'bundledDependencies' in readPackage(folder);

function node(root: string, args: readonly string[]): void {
  const { status } = spawnSync(process.execPath, args, { cwd: root, stdio: ['ignore', 2, 2] });
  if (status !== 0) throw new Error(`node ${args.join(' ')}: exit status ${status ?? 'unknown'}`);
}

/** Compiles and collects the files of an image into the new folder `out`. */
export function assemble(name: ImageName, root: string, out: string): void {
  const { programs, folders } = images[name];
  rmSync(out, { recursive: true, force: true });
  mkdirSync(out, { recursive: true });
  // Types are checked by `npm run verify`; here they would only make the image wait.
  node(root, [join(root, 'node_modules/typescript/bin/tsc'), '-p', 'tsconfig.build.json', '--noCheck', '--outDir', join(out, 'dist')]);
  const entries = programs.map((program) => join(out, 'dist/cli', `${program}.js`));
  const missing = entries.filter((entry) => !existsSync(entry));
  if (missing.length > 0) throw new Error(`src/cli has no program for ${missing.map((entry) => relative(out, entry)).join(', ')}`);
  const direct = reachablePackages(entries, Object.keys(readPackage(root).dependencies ?? {}));
  copyPackages(packageFolders(direct, root), root, out);
  for (const path of ['package.json', 'LICENSE', ...folders]) cpSync(join(root, path), join(out, path), { recursive: true });
}

function main(name: string | undefined, out: string | undefined): void {
  const root = join(import.meta.dirname, '..');
  if (!name || !out || !(name in images)) {
    console.error(`usage: node tools/image-files.ts ${Object.keys(images).join('|')} OUT`);
    process.exit(2);
  }
  const assembled = join(root, 'assembled', name);
  if (existsSync(assembled)) {
    cpSync(assembled, out, { recursive: true });
    return;
  }
  if (!existsSync(join(root, 'node_modules'))) {
    const npm = spawnSync('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund'], { cwd: root, stdio: ['ignore', 2, 2] });
    if (npm.status !== 0) throw new Error('npm ci failed; see above');
  }
  assemble(name as ImageName, root, out);
  console.log(`${globSync('**', { cwd: out }).length} files, ${readdirSync(join(out, 'node_modules')).length} packages and scopes`);
}

if (import.meta.main) main(process.argv[2], process.argv[3]);
