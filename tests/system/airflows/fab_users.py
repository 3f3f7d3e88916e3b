"""Fill the database of an Airflow with FAB's auth manager: Dags with a frame each, and users with rights on some.

``python fab_users.py`` runs inside an environment with that provider; variables name the database and the store.
"""

from __future__ import annotations

import pandas as pd

USERS = {  # -> the permissions of the user's role; the password is the name
    "stranger": [],
    "of_trains": [("can_read", "DAG:trains"), ("can_read", "XComs")],
    "without_xcoms": [("can_read", "DAGs"), ("can_read", "Task Instances"), ("can_read", "DAG Runs")],
    "without_dags": [("can_read", "XComs")],
    "writer": [("can_edit", "DAG:flights"), ("can_create", "XComs"), ("can_delete", "XComs")],
    "reader": [("can_read", "DAGs"), ("can_read", "XComs")],
    "of_assets": [("can_read", "Assets")],
    "operator": [("can_read", "Configurations")],
}


def add_users() -> None:
    from airflow.providers.fab.auth_manager.cli_commands.utils import get_application_builder

    with get_application_builder() as builder:
        manager = builder.sm
        for name, permissions in USERS.items():
            manager.bulk_sync_roles([{"role": name, "perms": permissions}])
            role = manager.find_role(name)
            manager.add_user(name, name, name, f"{name}@example.org", role, password=name)


def main() -> None:
    from airflow.models.asset import AssetModel
    from airflow.utils import db
    from airflow.utils.session import create_session
    from airflow_rows import DAGS, add_dags, set_row

    from airflow_xcom.backend import CodecXComBackend

    db.upgradedb()
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", "y"]})
    with create_session() as session:
        add_dags(session)
        session.add(AssetModel(name="lake", uri="file:///lake", group="asset"))
        for dag in DAGS:
            whose = (dag, "one", "extract", "return_value")
            at = dict(zip(("dag_id", "run_id", "task_id", "key"), whose, strict=True))
            set_row(session, whose, CodecXComBackend.serialize_value(frame, **at, map_index=-1))
    add_users()


if __name__ == "__main__":
    main()
