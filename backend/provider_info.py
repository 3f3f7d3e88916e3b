"""The ``[xcom_codecs]`` options, as Airflow wants them declared.

Airflow loads :func:`get_provider_info` while it reads its own configuration, in every process: so nothing of Airflow
may be imported here, nor by the package it is in, and nothing that takes long.
"""

from __future__ import annotations

from typing import Any

SECTION = "xcom_codecs"

OPTIONS: dict[str, dict[str, str]] = {
    "path": {
        "description": "Where values that are too large for the metadata database are written: the URL of a folder, "
        "of a bucket (``s3://conn_id@bucket/prefix``) or of a Redis or Valkey server (``redis://conn_id@/prefix``), or "
        "the name of one of the ``stores``.\n",
        "default": "file://{AIRFLOW_HOME}/xcom",
        "example": "file:///mnt/shared/xcom",
    },
    "stores": {
        "description": "Further stores that values are read from, as a JSON object of names and URLs; for example the "
        "former ``path``, as long as rows refer to it.\n",
        "default": "{{}}",
        "example": '{"old": "file:///mnt/old/xcom"}',  # which Airflow writes as it is, unlike a default
    },
    "store_timeout": {
        "description": "Seconds after which a request to a store fails.  Until then it is repeated after passing "
        "faults: a broken connection, a silent or overloaded server.  Of a large value each part is a request.\n",
        "default": "120",
        "example": "30",
    },
    "durable": {
        "description": "Whether a push to a folder waits until the disk has the value.  False is faster: a crash of "
        "the host, or of its power, may then take values of tasks that have succeeded.\n",
        "default": "True",
        "example": "False",
    },
    "threshold": {
        "description": "The most bytes that a value may take in the metadata database; what is larger goes to "
        "``path``. -1 offloads nothing. 0 offloads everything but plain JSON values of up to 1 KiB, which Airflow "
        "itself reads.\n",
        "default": "49152",
        "example": "1048576",
    },
    "compression": {
        "description": "Of what goes to ``path``: ``none``, ``lz4`` (fast), ``zstd`` or ``zstd:LEVEL`` with a level "
        "from 1 to 22 (small), or ``auto``, which compresses what samples of it say is worth it, and more of it where "
        "the store is reached over a network. The metadata database holds values as they are.\n",
        "default": "none",
        "example": "auto",
    },
    "preview": {
        "description": "What the metadata database, and so Airflow's pages and REST API, show of a value beside its "
        "type and size: ``rows`` (the first cells of a table, the text of a scalar), ``columns`` (names, types and "
        "shape), or ``none``. Without it, ``rows`` of what the database has itself, ``columns`` of what goes to a "
        "store. Cells of columns with names that Airflow masks are masked.\n",
        "default": "",
        "example": "none",
    },
    "inexact": {
        "description": "What becomes of a value that cannot come back exactly: ``refuse`` fails the task, and "
        "``as_airflow`` stores the part that is not exact as Airflow itself would, says so in the task's log, and "
        "marks the value for ``airflow-xcom list --inexact``. What Airflow itself refuses is refused in any case.\n",
        "default": "refuse",
        "example": "as_airflow",
    },
    "data_tab": {
        "description": "Whether Airflow's pages have the Data tab, which shows stored values to whoever may read the "
        "XComs of a Dag. A tag ``xcom:hide`` of a Dag hides its values there, ``xcom:hide=TASK`` those of the tasks "
        "that the pattern matches.\n",
        "default": "True",
        "example": "False",
    },
    "data_tab_render": {
        "description": "Whether the Data tab decodes values whose codec, of another package, has ``render``, and shows "
        "what that returns. The code of the codec, and what it imports, then run in the API server.\n",
        "default": "False",
        "example": "True",
    },
    "modules": {
        "description": "Modules, separated by commas, that are imported before the first value is pushed or pulled "
        "because they register codecs.\n",
        "default": "",
        "example": "my_company.codecs",
    },
    "legacy_backend": {
        "description": "The XCom backend in use before this one, which then reads and purges the rows it wrote.\n",
        "default": "",
        "example": "airflow.providers.common.io.xcom.backend.XComObjectStorageBackend",
    },
    "preserve_key_order": {
        "description": "Whether to keep the order of keys of plain dicts, which PostgreSQL and MySQL do not keep in "
        "JSON columns, by storing such dicts in an envelope.\n",
        "default": "False",
        "example": "True",
    },
    "keep": {
        "description": "How long ``airflow-xcom retain`` keeps the values of a run that has ended: ``forever``, or an "
        "age such as ``30d`` (s, m, h, d, w), or the newest runs of a Dag, such as ``5runs``; of several, separated by "
        "commas, the one that keeps more. Tags of a Dag, such as ``xcom:keep=7d``, go before it.\n",
        "default": "forever",
        "example": "30d, 5runs",
    },
    "keep_success": {
        "description": "The same for runs that succeeded, if that is to differ from ``keep``.\n",
        "default": "",
        "example": "7d",
    },
    "keep_failed": {
        "description": "The same for runs that failed, if that is to differ from ``keep``.\n",
        "default": "",
        "example": "90d",
    },
    "keep_published": {
        "description": "How long ``airflow-xcom retain`` keeps versions of assets: ``forever``, an age such as "
        "``30d``, or the newest of an asset or partition, such as ``10versions``; of several, separated by commas, the "
        "one that keeps more. The same text under ``xcom:keep`` in an asset's ``extra`` goes before it.\n",
        "default": "forever",
        "example": "30d, 10versions",
    },
    "publish_assets": {
        "description": "Whether functions with ``@asset`` publish what they return as a version of their asset, as "
        "``return publish(value, self)`` does.\n",
        "default": "False",
        "example": "True",
    },
    "retain_when_run_ends": {
        "description": "Whether to retire what need not be kept any more of a Dag whenever a run of it ends, in a "
        "process of its own beside the scheduler.\n",
        "default": "False",
        "example": "True",
    },
    "sweep_after_run": {
        "description": "How long after a run has ended what its XComs do not refer to, such as the payloads of earlier "
        "tries, is deleted from its folders in the stores: an age such as ``1d``, longer than any push takes. It "
        "happens when a later run of its Dag ends. Empty: never.\n",
        "default": "",
        "example": "1d",
    },
}


def get_provider_info() -> dict[str, Any]:
    """Return the metadata of the ``apache_airflow_provider`` entry point: the options, with their defaults."""
    options = {
        name: {"version_added": "0.1.0", "type": _type(option["default"]), **option} for name, option in OPTIONS.items()
    }
    return {
        "package-name": "airflow-xcom-codecs",
        "name": "XCom codecs",
        "description": "Typed XComs: values come back exact, without pickle.\n",
        "cli": ["airflow_xcom.backend.cli.airflow_commands"],  # from Airflow 3.2 on; earlier ones do not look
        "config": {SECTION: {"description": "Options of the XCom codecs backend.\n", "options": options}},
    }


def _type(default: str) -> str:
    """Return the type of an option, as its default tells it."""
    if default in {"True", "False"}:
        return "boolean"
    return "integer" if default.isdecimal() else "string"
