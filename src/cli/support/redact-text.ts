/**
 * Takes what may be a secret, or the text of a client's request, out of free text: logs, messages, metrics pages. Rather too much than too
 * little: what is left must say what went wrong, and nothing else.
 */

export const redacted = '<redacted>';
const redactedRequest = '<redacted: text of a request>';

/** Parts of names whose values are secret, as in `api-key`, `HF_TOKEN`, `awsSecretAccessKey`; not `tokenizer`, `max-total-tokens`, `keyspace`. */
const secretWords =
  'token|secret|secrets|password|passwd|passwort|pwd|passphrase|pass|credential|credentials|creds|auth|authorization|authentication|bearer|' +
  'cookie|cookies|jwt|oauth|sas|pat|dsn|signature|sig|apikey|accesskey|secretkey|privatekey|key|keys|sessionid|otp|pin|salt';
const secretWord = new RegExp(`(^|-)(${secretWords})(-|$)`);

/** Names that contain such a word and are known to be harmless: of Kubernetes, of engines and of ours. */
const harmless = new Set([
  ...['key', 'keys', 'label-keys', 'secret-name', 'secret-ref', 'secret-key-ref', 'token-secret-ref', 'topology-key', 'pass-through'],
  ...['automount-service-account-token', 'image-pull-secrets', 'service-account-token', 'match-label-keys', 'mismatch-label-keys'],
]);

/** Whether a value with this name is a secret by its name: a flag, an environment variable, a field, a header, a query parameter. */
export function isSecretName(name: string): boolean {
  const words = name
    .replace(/^-+/, '')
    .replaceAll(/([a-z0-9])([A-Z])/g, '$1-$2')
    .replaceAll(/([A-Z]+)([A-Z][a-z])/g, '$1-$2')
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-');
  return secretWord.test(words) && !harmless.has(words) && !reference.test(words);
}

/** Says where a secret is, or how long, and not which. */
const reference = /-(name|ref|file|path|folder|dir|type|count|length|seconds|ms|bytes)$/;

/** Forms that are secrets wherever they stand. */
const knownForms: readonly RegExp[] = [
  /-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----[\s\S]*?(-----END [A-Z ]{0,40}PRIVATE KEY-----|$)/g,
  // JSON web tokens, also those of service accounts
  /\beyJ[\w-]{6,2000}\.[\w-]{2,}(\.[\w-]*)?/g,
  /\b(hf|api_org)_[A-Za-z0-9]{8,}/g,
  /\b(sk|pk|rk)[-_][A-Za-z0-9_-]{8,}/g,
  /\b(ghp|gho|ghu|ghs|ghr)_[A-Za-z0-9]{8,}|\bgithub_pat_\w{8,}|\bglpat-[\w-]{8,}|\bxox[a-z]-[\w-]{8,}|\bnpm_[A-Za-z0-9]{16,}/g,
  /\b(AKIA|ASIA|AROA|AIDA)[A-Z0-9]{12,}/g,
  /\bAIza[\w-]{20,}|\bya29\.[\w-]{10,}|\bhvs\.[\w-]{10,}|\bdckr_pat_[\w-]{8,}/g,
  // kubeadm
  /\b[a-z0-9]{6}\.[a-z0-9]{16}\b/g,
];

// Every repetition that may fail at its end is bounded: a log line that somebody made up must not take longer than its length is worth.

/** `user:password@` of an address. */
const userInfo = /\b([a-z][a-z0-9+.-]{0,20}:\/\/)[^\s/?#"']{0,1000}@/gi;
/** Everything behind the question mark of an address, and behind the number sign. */
const query = /\b([a-z][a-z0-9+.-]{0,20}:\/\/[^\s"'<>?#]{0,2000})[?#][^\s"'<>)\]}]*/gi;
const pathQuery = /((?:GET|POST|PUT|PATCH|DELETE|HEAD) [^\s"'<>?]{0,4000})\?[^\s"'<>]*/g;
const scheme = /\b(Bearer|bearer|BEARER|Negotiate|ApiKey)(\s+)[\w.~+/=:-]{6,}|\b(Basic|basic)(\s+)(?=[\w+/]*[A-Z0-9=])[\w+/=]{8,}/g;
const header =
  /\b((?:proxy-)?authorization|(?:set-)?cookie|x-[\w-]{0,40}(?:key|token|auth|secret)[\w-]{0,40})(["']?\s*[:=]\s*["']?)[^\r\n"']+/gi;
/** The name in `name=value`, `"name": "value"`, `'name': 'value'`, `--name value`, and what stands between. */
const named = /(?<![\w.-])(?:(["']?)((?:--?)?[A-Za-z_][\w.-]{0,200})\1\s{0,8}[:=]\s{0,8}|(--?[A-Za-z][\w.-]{0,200})\s{1,8})/g;
const value = /"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|[^\s,;&"'{}[\]()]+/y;

/** Fields that hold what a client asked, or what it was answered. */
const requestFields =
  'prompt|prompts|messages|content|reasoning_content|text|texts|input|inputs|input_text|input_ids|output_ids|output_text|token_ids|origin_input_text|' +
  'origin_input_ids|completion|completions|generated_text|query|question|questions|answer|body|request_body|user_input|delta|image_data|logprobs|top_logprobs|choices|origin_input|system';
const requestField = new RegExp(`^(${requestFields})$`, 'i');
const requestPair = new RegExp(
  `((?:["']?)\\b(?:${requestFields})\\b["']?\\s*[:=]\\s*)("(?:\\\\.|[^"\\\\])*"?|'(?:\\\\.|[^'\\\\])*'?|\\[[\\s\\S]*|\\{[\\s\\S]*)`,
  'gi',
);
/** SGLang with --log-requests: everything behind it is the request. */
const requestLine =
  /\b(GenerateReqInput|EmbeddingReqInput|ChatCompletionRequest|CompletionRequest|Receive: obj|Finish: obj|Prompt|prompt text|Generated text)\b(\s*[(:=])[\s\S]*/i;

/** A long run of mixed characters, such as a key in base64: what no word, path or digest looks like. */
const longRun = /(?<![\w+/=-])[A-Za-z0-9+/_-]{24,}={0,2}(?![\w+/=-])/g;

export function isRequestField(name: string): boolean {
  return requestField.test(name);
}

/** @param text - may have several lines; each is looked at by itself, keys of several lines aside */
export function redactText(text: string): string {
  const whole = knownForms.reduce((left, form) => left.replace(form, redacted), text);
  return whole.split('\n').map(redactLine).join('\n');
}

function redactLine(line: string): string {
  return redactPairs(
    line
      .replace(requestLine, (_, what: string, sign: string) => `${what}${sign} ${redactedRequest}`)
      .replace(requestPair, (whole, name: string, value: string) => (/^["']?<redacted/.test(value) ? whole : `${name}${redactedRequest}`))
      .replace(userInfo, `$1${redacted}@`)
      .replace(query, `$1?${redacted}`)
      .replace(pathQuery, `$1?${redacted}`)
      .replace(header, `$1$2${redacted}`)
      .replace(scheme, `$1$2$3$4${redacted}`),
  ).replace(longRun, (run) => (looksRandom(run) ? redacted : run));
}

/** A value is looked for behind names of secrets only: the value of another may hold one. */
function redactPairs(line: string): string {
  let done = '';
  let at = 0;
  named.lastIndex = 0;
  for (let match = named.exec(line); match; match = named.exec(line)) {
    const [, , name, flag] = match;
    if (!isSecretName(name ?? flag ?? '')) continue;
    value.lastIndex = named.lastIndex;
    const [found] = value.exec(line) ?? [];
    if (found === undefined || isHarmlessValue(found)) continue;
    done += line.slice(at, named.lastIndex) + requoted(found);
    at = named.lastIndex + found.length;
    named.lastIndex = at;
  }
  return done + line.slice(at);
}

/** Numbers and words of yes and no are no secrets; nor is what has been taken out. */
function isHarmlessValue(value: string): boolean {
  return /^["']?(\d{1,5}|true|false|null|none|undefined|<redacted.*)["']?$/i.test(value);
}

function requoted(value: string): string {
  const [first = ''] = value;
  return first === '"' || first === "'" ? `${first}${redacted}${first}` : redacted;
}

/**
 * Upper case, lower case and digits mixed, and hardly three in a row of one kind: so do keys look, and neither hexadecimal digests nor paths nor
 * names of pods and models. Of random characters some 30 % stand in such rows.
 */
export function looksRandom(run: string): boolean {
  const core = run.replace(/=+$/, '');
  if (!/[a-z]/.test(core) || !/[A-Z]/.test(core) || core.replace(/\D/g, '').length < 2) return false;
  const inRows = [...core.matchAll(/[a-z]{3,}|[A-Z]{3,}|\d{3,}/g)].reduce((sum, [row]) => sum + row.length, 0);
  return inRows / core.length < 0.5;
}
