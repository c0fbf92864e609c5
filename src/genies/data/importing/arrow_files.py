"""Rows of Parquet and Arrow files, read with pyarrow in small batches regardless of the size of row groups."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from genies.data.importing.rows import Malformed, Values

_BATCH = 16
"""Rows that are converted to Python values at a time. With dictionary encoding, a file of a few kilobytes can have
megabytes per row."""

_BUFFER = 1 << 20


def parquet(file: Path, wanted: list[str]) -> Iterator[Values]:
    # pre_buffer would load a whole row group, which may be the whole file.
    with pq.ParquetFile(file, pre_buffer=False, buffer_size=_BUFFER) as data:
        columns = [name for name in wanted if name in data.schema_arrow.names]
        for batch in data.iter_batches(_BATCH, columns=columns, use_threads=False):
            yield from _values(batch)


def parquet_columns(file: Path) -> list[str]:
    with pq.ParquetFile(file) as data:
        return list(data.schema_arrow.names)


def _is_file_form(opened: pa.NativeFile) -> bool:
    """Whether this is Arrow's file format. `datasets` writes the stream format with the same file name extension."""
    magic = opened.read(6)
    opened.seek(0)
    return bool(magic == b"ARROW1")


def _batches(opened: pa.NativeFile) -> Iterator[pa.RecordBatch]:
    if _is_file_form(opened):
        reader = pa.ipc.open_file(opened)
        yield from (reader.get_batch(number) for number in range(reader.num_record_batches))
    else:
        yield from pa.ipc.open_stream(opened)


def arrow(file: Path, wanted: list[str]) -> Iterator[Values]:
    with pa.OSFile(str(file)) as opened:
        for batch in _batches(opened):
            part = batch.select([name for name in wanted if name in batch.schema.names])
            for start in range(0, batch.num_rows, _BATCH):
                yield from _values(part.slice(start, _BATCH))


def arrow_columns(file: Path) -> list[str]:
    with pa.OSFile(str(file)) as opened:
        reader = pa.ipc.open_file if _is_file_form(opened) else pa.ipc.open_stream
        return list(reader(opened).schema.names)


def _values(batch: pa.RecordBatch) -> Iterator[Values]:
    try:
        yield from batch.to_pylist()
    except UnicodeDecodeError:
        for number in range(batch.num_rows):
            yield _one_value(batch.slice(number, 1))


def _one_value(batch: pa.RecordBatch) -> Values:
    for name in batch.schema.names:
        try:
            batch.column(name).to_pylist()
        except UnicodeDecodeError as error:
            return Malformed(name, f"is not UTF-8 text (byte {error.start})")
    return dict(batch.to_pylist()[0])
