/** The test suites, in the order `npm test` runs them. Globs are relative to the repository root. */
export interface Suite {
  readonly name: string;
  readonly about: string;
  readonly files: readonly string[];
  readonly ignore?: readonly string[];
  /** The suite that it runs at the same time as. */
  readonly beside?: string;
  /** Environment variables of its process. */
  readonly env?: Readonly<Record<string, string>>;
  /** Whether `npm test` runs it; the others are run by their own script. */
  readonly byDefault: boolean;
}

const slow = ['test/install/**', 'test/e2e/**', 'test/sglang-live/**', 'test/long/**'];

/** They wait for an API server more than they work. */
const onApiServer = [
  'test/api/**/*.test.ts',
  'test/cli/plugin/**/*.test.ts',
  'test/cli/{rollout,router-rollback}.test.ts',
  'test/controllers/**/*.test.ts',
  'test/failover/**/*.test.ts',
  'test/kube/**/*.test.ts',
  'test/manifests/**/*.test.ts',
  'test/monitoring/**/*.test.ts',
  'test/simulated/**/*.test.ts',
];

const clusterDown = 'test/e2e/cluster-down.test.ts';

export const suites: readonly Suite[] = [
  {
    name: 'unit',
    about: 'pure code, local servers, processes',
    files: ['test/**/*.test.ts'],
    ignore: [...slow, ...onApiServer],
    byDefault: true,
  },
  {
    name: 'api-server',
    about: 'resources, controllers and command lines on a real API server; beside unit',
    files: onApiServer,
    beside: 'unit',
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
      'property tests at twenty times their size, 100,000 mutated checkpoints and requests, ten minutes under load, 20 kills of each labelling step and one right before each of 80 of its steps with files, downloads of models killed right before every one, 1,000 cut watches, two minutes without an API server, 5,000 deployments, LLM pods killed for twice ten minutes; about two hours',
    files: [
      'test/router/exactness.test.ts',
      'test/kube/work-queue.test.ts',
      'test/router/api/request-fuzz.test.ts',
      'test/router/soak.test.ts',
      'test/pipeline/acceptance.test.ts',
      'test/cli/pipeline-kills.test.ts',
      'test/model/download/processes.test.ts',
      'test/failover/failover.test.ts',
      'test/long/**/*.test.ts',
    ],
    env: { R2R_TEST_SCALE: '20' },
    byDefault: false,
  },
];
