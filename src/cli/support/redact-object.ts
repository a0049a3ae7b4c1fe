/** Takes what may be a secret out of Kubernetes objects and other JSON. What is not known to be harmless goes. */
import { isRequestField, isSecretName, redactText, redacted } from './redact-text.ts';

/** Environment variables whose values tell how a program was set up; all other values go, whatever they are called. */
const knownVariable =
  /^(HOME|PATH|USER|LANG|LC_\w+|TZ|PYTHON\w+|NODE_\w+|GLIBC_TUNABLES|MALLOC_\w+|OMP_\w+|MKL_\w+|CUDA_\w+|NVIDIA_\w+|NCCL_\w+|TORCH\w*|PYTORCH_\w+|TRITON_\w+|FLASHINFER_\w+|SGLANG_\w+|SGL_\w+|HF_HOME|HF_HUB_OFFLINE|HF_ENDPOINT|TRANSFORMERS_\w+|TOKENIZERS_PARALLELISM|R2R_\w+|POD_\w+|MPLCONFIGDIR|XDG_\w+|LD_\w+|(HTTP|HTTPS|NO)_PROXY|(http|https|no)_proxy)$/;

/** Annotations of Kubernetes and of those that roll things out; the values of all others go. */
const knownAnnotation = /^([\w.-]*\.)?(r2r\.dev|kubernetes\.io|k8s\.io|helm\.sh|argoproj\.io|fluxcd\.io|x-k8s\.io)\//;
const lastApplied = 'kubectl.kubernetes.io/last-applied-configuration';

/** Lists of arguments of a program. */
const argumentFields = new Set(['args', 'command', 'extraArgs']);
/** Free maps whose values belong to somebody's driver. */
const driverFields = new Set(['volumeAttributes', 'options', 'parameters']);

/** A copy without managedFields, without the last applied configuration, and without what may be a secret. Names of Secrets stay. */
export function redactObject(value: unknown): unknown {
  return redactValue(value, '');
}

/** JSON that is no Kubernetes object: a line of a log, a router's status, a program's configuration. */
export function redactJson(value: unknown): unknown {
  return redactValue(value, '', true);
}

/** A log: lines of JSON by their fields, others as text. */
export function redactLog(text: string): string {
  // keys and certificates span lines
  return redactText(text.split('\n').map(redactLogLine).join('\n'));
}

function redactLogLine(line: string): string {
  // the kubelet puts a time in front where it is asked to
  const [, time = '', rest = line] = /^(\d{4}-\d\d-\d\dT\S+ )?(.*)$/s.exec(line) ?? [];
  if (!rest.startsWith('{')) return line;
  try {
    return time + JSON.stringify(redactJson(JSON.parse(rest)));
  } catch {
    return line;
  }
}

function redactValue(value: unknown, field: string, free = false): unknown {
  if (typeof value === 'string') return redactString(value, field, free);
  if (Array.isArray(value)) {
    if (argumentFields.has(field)) return redactArguments(value);
    if (field === 'env') return value.map(redactVariable);
    if (field === 'httpHeaders') return value.map((each) => ({ ...(each as object), value: redacted }));
    if (free && isRequestField(field)) return redacted;
    return value.map((each: unknown) => redactValue(each, field, free));
  }
  if (typeof value !== 'object' || value === null) return value;
  if (free && isRequestField(field)) return redacted;
  if (field === 'annotations') return redactAnnotations(value as Record<string, unknown>);
  const entries = Object.entries(value).filter(([name]) => name !== 'managedFields');
  if (driverFields.has(field)) return Object.fromEntries(entries.map(([name]) => [name, redacted]));
  // data of a ConfigMap: files, of which many are JSON
  if (field === 'data' || field === 'binaryData') return Object.fromEntries(entries.map(([name, file]) => [name, redactFile(name, file)]));
  return Object.fromEntries(entries.map(([name, each]) => [name, redactValue(each, name, free)]));
}

function redactString(text: string, field: string, free: boolean): string {
  if (isSecretName(field) || (free && isRequestField(field))) return redacted;
  return redactText(text);
}

function redactFile(name: string, content: unknown): unknown {
  // a ControllerRevision holds an object
  if (typeof content === 'object') return redactValue(content, name);
  if (typeof content !== 'string' || isSecretName(name)) return redacted;
  try {
    return JSON.stringify(redactJson(JSON.parse(content)));
  } catch {
    return redactText(content);
  }
}

function redactVariable(variable: unknown): unknown {
  const { name = '', value, ...rest } = variable as { readonly name?: string; readonly value?: string };
  if (value === undefined) return redactValue(variable, 'variable');
  const known = knownVariable.test(name) && !isSecretName(name);
  return { name, value: known ? redactText(value) : redacted, ...rest };
}

function redactAnnotations(annotations: Readonly<Record<string, unknown>>): object {
  return Object.fromEntries(
    Object.entries(annotations)
      .filter(([name]) => name !== lastApplied)
      .map(([name, value]) => [name, knownAnnotation.test(name) && !isSecretName(name) ? redactText(String(value)) : redacted]),
  );
}

/** `--api-key x`, `--api-key=x`, and text within: a shell's script. */
function redactArguments(list: readonly unknown[]): readonly unknown[] {
  return list.map((each, index) => {
    if (typeof each !== 'string') return redactValue(each, 'argument');
    const before = list[index - 1];
    const named = typeof before === 'string' && /^--?[A-Za-z]/.test(before) && !before.includes('=') && isSecretName(before);
    if (named) return redacted;
    const [, name = ''] = /^(--?[A-Za-z][\w.-]*)=/s.exec(each) ?? [];
    return name !== '' && isSecretName(name) ? `${name}=${redacted}` : redactText(each);
  });
}
