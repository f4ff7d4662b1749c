"""A bounded sample of a table, for `nightcart source check`: written as a day's delivery.

Reads at most `SAMPLE_ROWS` rows, the newest by the watermark; writes them below a folder of the
caller's in the layout of a fetch, and no record.
"""

from __future__ import annotations

import datetime as dt

import pyarrow as pa

from pipeline.sources.source import SourceDataset
from pipeline.sources.table import Table
from pipeline.sources.tables.folder import DayWriter, TableFolder
from pipeline.sources.tables.open_table import Access, opened
from pipeline.sources.tables.reader import NotOfTypeError, TableReader, take_as_text
from pipeline.sources.tables.window import Window, Zones, column_of

SAMPLE_ROWS = 10_000
DAY = dt.date(2000, 1, 1)  # of the directory; nothing that is checked depends on it


def write_sample(dataset: SourceDataset, table: Table, access: Access) -> int:
    """Write a sample below `access.scratch`; how many rows it has.

    Raises:
        InputError, SettingsError, StartError: the table cannot be read; what to do is said.
    """
    folder = TableFolder(access.scratch, dataset.name)
    with opened(table, dataset.own.columns, access) as reader:
        for name in dict.fromkeys(name for name in (table.watermark, table.day) if name):
            column_of(reader.schema, name, Zones(dt.UTC, dt.UTC), table)
        while True:
            folder.clear_aside()
            try:
                rows = _write(reader, table, folder)
                break
            except NotOfTypeError as error:
                take_as_text(reader, error, table)
    (folder.aside / f"date={DAY}").rename(folder.of(DAY))
    return rows


def _write(reader: TableReader, table: Table, folder: TableFolder) -> int:
    writer = DayWriter(folder, reader.schema)
    empty = [pa.array([], field.type) for field in reader.schema]
    writer.write(DAY, pa.RecordBatch.from_arrays(empty, schema=reader.schema))
    order = [table.watermark] if table.watermark else []
    for batch in reader.rows(Window(), order, newest=SAMPLE_ROWS):
        writer.write(DAY, batch)
    writer.close()
    return writer.rows[DAY]
