/** The test suites, in the order `npm test` runs them. Globs are relative to the repository root. */
export interface Suite {
  readonly name: string;
  readonly about: string;
  readonly files: readonly string[];
  readonly ignore?: readonly string[];
  /** Environment variables of its process. */
  readonly env?: Readonly<Record<string, string>>;
  /** Whether `npm test` runs it; the others are run by their own script. */
  readonly byDefault: boolean;
}

const slow = ['test/install/**', 'test/e2e/**', 'test/sglang-live/**', 'test/long/**'];

const clusterDown = 'test/e2e/cluster-down.test.ts';

export const suites: readonly Suite[] = [
  {
    name: 'unit',
    about: 'everything that needs no node: pure code, local servers, a real API server',
    files: ['test/**/*.test.ts'],
    ignore: slow,
    byDefault: true,
  },
  {
    name: 'install',
    about: 'every way to install, upgrade and uninstall, on a real API server and controller-manager; builds both Helm versions, once',
    files: ['test/install/**/*.test.ts'],
    byDefault: true,
  },
  {
    // a process of its own: the other files share one cluster, which this one takes away
    name: 'cluster-down',
    about: 'the local cluster is taken down and leaves nothing behind',
    files: [clusterDown],
    byDefault: true,
  },
  {
    name: 'e2e',
    about: 'a real single-node cluster with real pods',
    files: ['test/e2e/**/*.test.ts'],
    ignore: [clusterDown],
    byDefault: true,
  },
  { name: 'sglang', about: 'a real SGLang server on CPU', files: ['test/sglang-live/**/*.test.ts'], byDefault: false },
  {
    name: 'long',
    about:
      'property tests at twenty times their size, 100,000 mutated checkpoints and requests, ten minutes under load, 20 kills of each labelling step, 1,000 cut watches, two minutes without an API server, 5,000 deployments, LLM pods killed for twice ten minutes; about two hours',
    files: [
      'test/router/exactness.test.ts',
      'test/kube/work-queue.test.ts',
      'test/router/api/request-fuzz.test.ts',
      'test/router/soak.test.ts',
      'test/pipeline/acceptance.test.ts',
      'test/cli/pipeline-kills.test.ts',
      'test/failover/failover.test.ts',
      'test/long/**/*.test.ts',
    ],
    env: { R2R_TEST_SCALE: '20' },
    byDefault: false,
  },
];
