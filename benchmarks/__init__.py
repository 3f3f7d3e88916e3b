"""The benchmarks of airflow-xcom-codecs: ``python -m benchmarks`` at the root of the repository."""
