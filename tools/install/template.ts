import { kubernetesYaml } from './yaml.ts';

/** Stands in a rendered object where the chart has an expression; no value of a real object looks like it. */
const mark = (index: number) => `R2R-PLACEHOLDER-${index}-`;
const marked = /R2R-PLACEHOLDER-(\d+)-/;

/** Writes the line that a placeholder stands on. `before` is what precedes it: the indentation and `key: ` or `- `. */
type Line = (before: string) => string;

/**
 * Turns rendered objects into text for Helm: a value made here is written as an expression of the chart. The objects are rendered by the
 * same code as the install manifest, so that what the chart leaves to the user is all that can differ.
 */
export class Template {
  readonly #lines: Line[] = [];

  /** A value, e.g. `.Values.replicas`. */
  value(expression: string): string {
    return this.#add((before) => `${before}{{ ${expression} }}`);
  }

  /** A map or list of the values; the key is left out where it is empty. */
  optional(path: string): string {
    return this.#add((before) => {
      const indent = indentOf(before);
      return [
        `${indent}{{- with ${path} }}`,
        `${before.trimEnd()} {{- toYaml . | nindent ${indent.length + 2} }}`,
        `${indent}{{- end }}`,
      ].join('\n');
    });
  }

  /** A string of the values; the key is left out where it is empty. */
  optionalString(path: string): string {
    return this.#add((before) => {
      const indent = indentOf(before);
      return [`${indent}{{- with ${path} }}`, `${before}{{ . | quote }}`, `${indent}{{- end }}`].join('\n');
    });
  }

  /** More items of a list of strings. */
  items(path: string): string {
    return this.#add((before) => {
      const indent = indentOf(before);
      return [`${indent}{{- range ${path} }}`, `${before}{{ . | quote }}`, `${indent}{{- end }}`].join('\n');
    });
  }

  /** More entries of a map of strings: spread it into the map. */
  entries(path: string): Readonly<Record<string, string>> {
    const line: Line = (before) => {
      const indent = indentOf(before);
      return [`${indent}{{- with ${path} }}`, `${indent}{{- toYaml . | nindent ${indent.length} }}`, `${indent}{{- end }}`].join('\n');
    };
    return { [this.#add(line)]: '' };
  }

  /** These entries, where the condition holds. */
  where(condition: string, entries: Readonly<Record<string, string>>): string {
    return this.#add((before) => {
      const indent = indentOf(before);
      const lines = Object.entries(entries).map(([key, value]) => `${indent}  ${key}: ${value}`);
      return [`${indent}{{- if ${condition} }}`, before.trimEnd(), ...lines, `${indent}{{- end }}`].join('\n');
    });
  }

  /** The text of a template; braces that the objects contain are not taken for expressions. */
  text(objects: readonly unknown[]): string {
    const documents = objects.map((each) => kubernetesYaml(each));
    return documents
      .join('---\n')
      .replaceAll('{{', '{{ "{{" }}')
      .split('\n')
      .map((line) => {
        const found = marked.exec(line);
        const write = found && this.#lines[Number(found[1])];
        return write ? write(line.slice(0, found.index)) : line;
      })
      .join('\n');
  }

  #add(line: Line): string {
    this.#lines.push(line);
    return mark(this.#lines.length - 1);
  }
}

function indentOf(before: string): string {
  return /^ */.exec(before)?.[0] ?? '';
}
