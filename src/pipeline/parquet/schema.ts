import type { SchemaElement } from 'hyparquet';
import type { ColumnType, TableSchema } from '../table.ts';

/** A table's schema as Parquet has it; nothing may be null. */
export function parquetSchemaOf({ columns }: TableSchema): SchemaElement[] {
  const entries = Object.entries(columns);
  return [{ name: 'root', num_children: entries.length }, ...entries.flatMap(([name, type]) => elements(name, type))];
}

function elements(name: string, type: ColumnType): SchemaElement[] {
  if (typeof type === 'object') return [{ name, type: 'FIXED_LEN_BYTE_ARRAY', type_length: type.bytes, repetition_type: 'REQUIRED' }];
  switch (type) {
    case 'bool':
      return [{ name, type: 'BOOLEAN', repetition_type: 'REQUIRED' }];
    case 'int32':
      return [{ name, type: 'INT32', repetition_type: 'REQUIRED' }];
    case 'int64':
      return [{ name, type: 'INT64', repetition_type: 'REQUIRED' }];
    case 'float32':
      return [{ name, type: 'FLOAT', repetition_type: 'REQUIRED' }];
    case 'float64':
      return [{ name, type: 'DOUBLE', repetition_type: 'REQUIRED' }];
    case 'string':
      return [{ name, type: 'BYTE_ARRAY', converted_type: 'UTF8', repetition_type: 'REQUIRED' }];
    case 'int32[]':
      return list(name, 'int32');
    case 'int64[]':
      return list(name, 'int64');
    case 'float32[]':
      return list(name, 'float32');
  }
}

/** Three levels, as pyarrow and `datasets` write and read lists. */
function list(name: string, element: ColumnType): SchemaElement[] {
  return [
    { name, converted_type: 'LIST', repetition_type: 'REQUIRED', num_children: 1 },
    { name: 'list', repetition_type: 'REPEATED', num_children: 1 },
    ...elements('element', element),
  ];
}
