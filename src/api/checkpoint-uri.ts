import { z } from 'zod';
import { rules } from './cel.ts';

const part = '[A-Za-z0-9._@+=%-]+';
const path = `(/${part})+`;
const claim = '[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?';
const forms = [
  path,
  `pvc://${claim}${path}`,
  // No user, query or fragment: this address is shown in status, and those hold passwords and signatures.
  `https://[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]{1,5})?${path}`,
  // A key as it is, without escapes; a router asks the object store that it is set up for.
  's3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9._@+=-]+)+',
  'hf://[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9._+=-]+)+@[A-Za-z0-9][A-Za-z0-9._/-]*',
];
const wellFormed = forms.map((form) => `self.matches('^${form}$')`).join(' || ');
const otherScheme = "self.startsWith('http://') || self.startsWith('hf://')";

/** Where a router checkpoint or bundle is loaded from; a relative path is refused rather than tried as the name of a repository. */
export const checkpointUri = z
  .string()
  .min(1)
  .max(1024)
  .meta(
    rules(
      {
        rule: "!self.startsWith('http://')",
        message: 'uri: http:// is refused, because nobody could tell what arrives; write https://',
      },
      {
        rule: `!self.startsWith('hf://') || ${wellFormed}`,
        message: 'uri: an address on the hub must be hf://<org>/<repo>/<file>@<revision>, such as hf://org/repo/router.pt@main',
      },
      {
        rule: `${otherScheme} || ${wellFormed}`,
        message:
          'uri: must be an absolute path such as /models/router.pt, pvc://<claim>/<path>, https://<host>/<path> without user, query and fragment, s3://<bucket>/<key>, or hf://<org>/<repo>/<file>@<revision>',
      },
      {
        rule: "!self.matches('(^|/)[.][.]?(/|@|$)')",
        message: 'uri: must not contain "." or ".." as a part of the path; write the full path',
      },
    ),
  );
