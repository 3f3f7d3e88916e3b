"""The commands of ``airflow-xcom``, a module each."""
