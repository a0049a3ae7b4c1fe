import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { parseAllDocuments } from 'yaml';
import { installFiles } from '../../tools/install/files.ts';
import { Template } from '../../tools/install/template.ts';

describe('the files that are made from install/', () => {
  for (const [path, content] of Object.entries(installFiles())) {
    it(`include ${path} as it is checked in`, () => {
      assert.equal(readFileSync(path, 'utf8'), content, 'run `npm run generate`');
    });
  }

  for (const path of globSync(['crds/*.yaml', 'install/kustomize/**/*.yaml'])) {
    it(`include ${path}, which reads the same in YAML 1.1, as programs in Go read it`, () => {
      const text = readFileSync(path, 'utf8');
      const read = (version: '1.1' | '1.2') => parseAllDocuments(text, { version }).map((document) => document.toJSON() as unknown);
      assert.deepEqual(read('1.1'), read('1.2'));
    });
  }

  it('are all that the chart has, but for what is written by hand', () => {
    const byHand = ['values.yaml', 'values.schema.json', 'templates/_helpers.tpl', 'templates/checks.yaml', 'templates/NOTES.txt'];
    const made = Object.keys(installFiles()).filter((path) => path.startsWith('charts/'));
    const files = globSync('charts/r2r-kubernetes/**/*.*');
    assert.deepEqual(files.sort(), [...made, ...byHand.map((name) => `charts/r2r-kubernetes/${name}`)].sort());
  });
});

describe("a template of Helm's", () => {
  it('has expressions where the object has placeholders, and blocks that go with their key', () => {
    const template = new Template();
    const text = template.text([
      {
        name: template.value('.Values.name'),
        annotations: template.where('.Values.keep', { 'helm.sh/resource-policy': 'keep' }),
        spec: { nodeSelector: template.optional('.Values.nodeSelector'), args: ['run', template.items('.Values.args')] },
      },
    ]);
    assert.equal(
      text,
      [
        'name: {{ .Values.name }}',
        '{{- if .Values.keep }}',
        'annotations:',
        '  helm.sh/resource-policy: keep',
        '{{- end }}',
        'spec:',
        '  {{- with .Values.nodeSelector }}',
        '  nodeSelector: {{- toYaml . | nindent 4 }}',
        '  {{- end }}',
        '  args:',
        '    - run',
        '    {{- range .Values.args }}',
        '    - {{ . | quote }}',
        '    {{- end }}',
        '',
      ].join('\n'),
    );
  });

  it('leaves braces of the object as they are to Helm', () => {
    assert.equal(new Template().text([{ a: 'with {{question}} in it' }]), 'a: with {{ "{{" }}question}} in it\n');
  });
});
