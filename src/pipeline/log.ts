/** What the pipeline needs of a logger (pino's methods): constant messages, facts as fields. */
export interface Log {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}
