"""Stands for mysqlclient, of which there are no wheels: Airflow wants it even where PyMySQL is the driver."""
