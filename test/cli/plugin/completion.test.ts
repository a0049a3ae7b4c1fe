import assert from 'node:assert/strict';
import { completable, completions } from '../../../src/cli/completion.ts';
import { kubectlR2R } from './world.ts';

describe('completion of kubectl r2r', () => {
  const names = (kind: 'deployments' | 'routers') => Promise.resolve(kind === 'deployments' ? ['chat', 'search'] : ['math']);
  const offered = (...words: readonly string[]): Promise<readonly string[]> => completions(words, names);

  it('offers commands, names, flags and formats', async () => {
    assert.deepEqual(await offered('st'), ['status', ':4']);
    assert.deepEqual(await offered('router', 'h'), ['history', ':4']);
    assert.deepEqual(await offered('status', ''), ['chat', 'search', 'router/math', ':4']);
    assert.deepEqual(await offered('status', '-n', 'models', 's'), ['search', ':4']);
    assert.deepEqual(await offered('top', ''), ['chat', 'search', ':4']);
    assert.deepEqual(await offered('router', 'rollback', ''), ['math', ':4']);
    assert.deepEqual(await offered('status', 'chat', ''), [':4']);
    assert.deepEqual(await offered('top', '--w'), ['--watch', ':4']);
    assert.deepEqual(await offered('status', 'chat', '-o', ''), ['json', 'yaml', ':4']);
    assert.deepEqual(await offered('support-bundle', 'chat', '-o', ''), [':0']);
    assert.deepEqual(await offered('status', '-n', ''), [':4']);
  });

  it('asks the cluster that the flags lead to', async () => {
    let asked: object = {};
    await completions(['status', '-n', 'models', '--context', 'there', ''], (_, flags) => {
      asked = flags;
      return Promise.resolve([]);
    });
    assert.deepEqual(asked, { namespace: 'models', context: 'there', kubeconfig: undefined });
  });

  it('knows every flag that a command’s help lists', async function () {
    this.timeout(120_000);
    for (const [command, { flags = [] }] of Object.entries(completable).filter(([, { commands }]) => !commands)) {
      const { stdout } = await kubectlR2R({}, command, '--help');
      const listed = [...stdout.matchAll(/^ +(?:-\w, )?(--[\w-]+)/gm)].map(([, flag]) => flag ?? '');
      assert.deepEqual([...new Set([...listed, '--help'])].sort(), [...flags].sort(), command);
    }
  });
});
