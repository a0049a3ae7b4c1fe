/** Types of a table's columns. Nothing is ever null. Integers are JavaScript's, so below 2^53. */
export type ColumnType =
  | 'bool'
  | 'int32'
  | 'int64'
  | 'float32'
  | 'float64'
  | 'string'
  | 'int32[]'
  | 'int64[]'
  | 'float32[]'
  /** So many bytes in each row: vectors of numbers, which are written much faster than lists. */
  | { readonly bytes: number };

export interface TableSchema {
  readonly columns: Readonly<Record<string, ColumnType>>;
}

export type ColumnValue<T extends ColumnType> = T extends 'bool'
  ? boolean
  : T extends 'int32' | 'int64' | 'float32' | 'float64'
    ? number
    : T extends 'string'
      ? string
      : T extends 'int32[]' | 'int64[]'
        ? ArrayLike<number>
        : T extends 'float32[]'
          ? Float32Array
          : Uint8Array;

/** A row; every column is there. */
export type Row<S extends TableSchema> = { readonly [K in keyof S['columns']]: ColumnValue<S['columns'][K]> };

/** A schema whose column names and types TypeScript knows. */
export function table<const C extends Readonly<Record<string, ColumnType>>>(columns: C): { readonly columns: C } {
  return { columns };
}
