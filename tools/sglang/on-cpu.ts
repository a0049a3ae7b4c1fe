/** What makes a stock SGLang serve a small model on CPU: the same for servers that tests start and for pods. */

export const sglangEnvironment: Readonly<Record<string, string>> = {
  // Without it, layers are chosen that only GPUs have.
  SGLANG_USE_CPU_ENGINE: '1',
  // Else the first sampled request waits 10 to 15 s for a compiler.
  TORCHDYNAMO_DISABLE: '1',
  // Tiny models gain nothing from more threads, and wait for each other.
  OMP_NUM_THREADS: '1',
  TOKENIZERS_PARALLELISM: 'false',
  HF_HUB_OFFLINE: '1',
  TRANSFORMERS_OFFLINE: '1',
  PYTHONWARNINGS: 'ignore',
};

/** Flags besides those that say which model is served where. */
export const sglangCpuArgs: readonly string[] = [
  '--device=cpu',
  '--attention-backend=torch_native',
  '--sampling-backend=pytorch',
  '--disable-cuda-graph',
  '--disable-overlap-schedule',
  // Else its scheduler keeps a core busy while nobody asks for anything.
  '--sleep-on-idle',
  '--max-total-tokens=16384',
  '--max-running-requests=16',
  '--random-seed=1',
];

/** Share of the machine's free memory that SGLang may plan with; `--max-total-tokens` bounds what it really takes. */
export const sglangMemFraction = 0.3;
