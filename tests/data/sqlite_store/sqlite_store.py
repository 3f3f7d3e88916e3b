"""A store in one file, as a package of its own: ``sqlite:///srv/xcom.db``."""

import sqlite3
import time
from contextlib import closing
from urllib.parse import urlsplit

from airflow_xcom.backend import StoreError
from airflow_xcom.backend.stores.base import Blob, BlobNotFoundError, Store


class SqliteStore(Store):
    def put(self, path, chunks):
        self._run("insert or replace into blobs values (?, ?, ?)", path, b"".join(chunks), time.time())

    def get(self, path):
        for (data,) in self._run("select data from blobs where path = ?", path):
            return memoryview(bytearray(data))
        raise BlobNotFoundError(path)

    def delete(self, path):
        return bool(self._run("delete from blobs where path = ? returning path", path))

    def list(self, prefix=""):
        yield from (
            Blob(*row)
            for row in self._run("select path, length(data), written from blobs")
            if row[0].startswith(prefix)
        )

    def _run(self, statement, *values):
        try:
            with closing(sqlite3.connect(urlsplit(self.url).path, self.timeout)) as database, database:
                database.execute("create table if not exists blobs (path text primary key, data blob, written real)")
                return database.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise StoreError(self.url, f"fails: {error}") from error
