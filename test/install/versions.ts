/** Three versions of this repository's installation, each a folder with dist/install.yaml, charts, crds and install/kustomize. */
import { execFileSync } from 'node:child_process';
import { cpSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { temporaryFolder } from './temporary-folder.ts';

const root = join(import.meta.dirname, '../..');

/**
 * The commit that stands for the version before: the first with a chart, before scaling, roll-outs and placement came. It stays, so that
 * whatever is added is an upgrade of something that was.
 */
export const previousCommit = process.env.R2R_PREVIOUS_COMMIT ?? '5942ab2';

/** Why the version before cannot be had; undefined where it can. A copy without the history tests no upgrade, and says so. */
export function whyNoPreviousVersion(): string | undefined {
  try {
    execFileSync('git', ['cat-file', '-e', `${previousCommit}^{commit}`], { cwd: root, stdio: 'ignore' });
    return undefined;
  } catch {
    return `upgrades are not tested: this copy lacks commit ${previousCommit} (git fetch --unshallow)`;
  }
}

const synthesise = (sources: string, folder: string) =>
  execFileSync(process.execPath, ['install/main.ts'], {
    cwd: sources,
    stdio: 'pipe',
    env: { ...process.env, CDK8S_OUTDIR: join(folder, 'dist') },
  });

/** The version before, from git: its sources run with the packages of today. */
export function previousVersion(): string {
  const folder = temporaryFolder('r2r-previous-');
  let archive: Buffer;
  try {
    archive = execFileSync('git', ['archive', previousCommit, 'package.json', 'src', 'install', 'crds', 'charts', 'examples'], {
      cwd: root,
      maxBuffer: 2 ** 28,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
  } catch (cause) {
    throw new Error(`commit ${previousCommit} cannot be read; the tests of upgrades need the history (git fetch --unshallow)`, { cause });
  }
  execFileSync('tar', ['--extract', '--directory', folder], { input: archive });
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'));
  synthesise(folder, folder);
  return folder;
}

/** This version. */
export function currentVersion(): string {
  const folder = temporaryFolder('r2r-current-');
  for (const part of ['install', 'crds', 'charts']) cpSync(join(root, part), join(folder, part), { recursive: true });
  synthesise(root, folder);
  return folder;
}

/** Name of the field that only {@link nextVersion} has, `spec.slm.nextVersion`: a string. */
export const nextField = 'nextVersion';

/** A version to come: `current` with one more field of R2RDeployments and another tag of the operator's image. */
export function nextVersion(current: string): string {
  const folder = temporaryFolder('r2r-next-');
  for (const part of ['dist', 'install', 'crds', 'charts']) cpSync(join(current, part), join(folder, part), { recursive: true });
  const edit = (path: string, change: (text: string) => string): void => {
    const file = join(folder, path);
    const before = readFileSync(file, 'utf8');
    const after = change(before);
    if (after === before) throw new Error(`${path}: the change for the next version found nothing to change`);
    writeFileSync(file, after);
  };
  const addField = (text: string): string => {
    // The first property of slm, whatever it is: slm is the first object of the spec that has a model.
    const at = /^( +)slm:\n(?:\1 +.*\n)*?(\1 {2})properties:\n/m.exec(text);
    if (!at) throw new Error('the CRD has no slm with properties');
    const [found, , indent = ''] = at;
    const end = at.index + found.length;
    const field = [`${nextField}:`, '  type: string', '  maxLength: 8'].map((line) => `${indent}  ${line}\n`).join('');
    return text.slice(0, end) + field + text.slice(end);
  };
  const tag = (text: string) => text.replace(/(\/operator):[-.0-9a-z]+/, '$1:next');
  edit('dist/install.yaml', (text) => tag(addField(text)));
  edit('crds/r2r.dev_r2rdeployments.yaml', addField);
  edit('install/kustomize/base/operator.yaml', tag);
  edit('charts/r2r-kubernetes/templates/crds.yaml', addField);
  edit('charts/r2r-kubernetes/Chart.yaml', (text) => text.replace(/^version: .*/m, 'version: 99.0.0'));
  edit('charts/r2r-kubernetes/values.yaml', (text) => text.replace("tag: ''", 'tag: next'));
  return folder;
}
