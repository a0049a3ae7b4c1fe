/**
 * Published statistics that workloads are generated from.
 *
 * DeepSeek-R1: alibaba/ServeGen (Apache-2.0) data/reason/deepseek-r1 at f891d11: requests a second of its 73 clients together, in each ten minutes of a
 * day; lengths as log-normal distributions through the published median and p90 (tokens) and median and p99 (prompts).
 */
export const deepSeekR1 = {
  binSeconds: 600,
  ratesPerSecond: [
    14.9, 18.4, 20.1, 20.6, 20.6, 21.3, 21.5, 21.9, 21.8, 21.9, 22.0, 24.4, 32.1, 33.3, 33.1, 32.3, 32.7, 32.1, 31.6, 29.6, 28.6, 29.4,
    29.7, 22.9, 16.7, 17.1, 16.9, 16.8, 17.1, 17.6, 17.3, 16.9, 11.8, 14.4, 13.0, 13.8, 13.8, 14.4, 9.5, 11.3, 11.9, 11.1, 9.1, 10.5, 9.2,
    9.6, 8.5, 8.6, 10.1, 10.2, 7.8, 10.9, 8.3, 10.0, 5.1, 11.6, 12.7, 10.8, 13.1, 10.5, 13.8, 11.0, 12.6, 15.1, 10.5, 14.8, 16.3, 10.3,
    14.9, 11.1, 13.4, 13.7, 10.4, 11.7, 5.9, 5.9, 4.3, 4.8, 4.7, 5.1, 9.4, 10.2, 10.7, 12.2, 11.5, 10.8, 11.6, 10.9, 10.6, 10.3, 9.5, 9.1,
    8.8, 11.6, 12.4, 16.4, 15.8, 16.7, 18.5, 16.0, 9.2, 8.2, 9.0, 8.0, 9.9, 8.9, 7.6, 9.6, 10.7, 13.9, 11.9, 11.4, 11.7, 12.4, 10.3, 9.2,
    8.4, 9.9, 8.9, 9.7, 17.2, 24.5, 20.0, 20.1, 20.4, 17.1, 20.1, 20.0, 18.0, 32.5, 33.3, 32.0, 36.3, 42.5, 41.3, 35.6, 32.7, 22.3, 22.6,
    16.1, 12.0, 13.4, 25.6, 23.7,
  ],
  /** Coefficient of variation of the Gamma distributed times between arrivals: of most ten minutes it is between 1.2 and 3. */
  arrivalCv: 2,
  tokens: { median: 792, sigma: 1.144 },
  promptTokens: { median: 208, sigma: 2.03 },
} as const;

/**
 * Azure code 2023 (Azure/AzurePublicDataset AzureLLMInferenceTrace_code.csv, CC-BY): largest to mean rate is 26 by seconds, 13 by ten seconds, 4.2 by
 * minutes and 1.6 by five minutes; 73 % of the seconds, 56 % of ten seconds, 21 % of minutes are empty. These give the same.
 */
export const azureCode = {
  quietSeconds: 65,
  busySeconds: 75,
  batchSeconds: 7,
  batchSize: 26,
  batchSigma: 0.9,
  largestBatch: 67,
  /** Four such services: mean 10 requests a second instead of 2.6. */
  scale: 4,
} as const;
