"""What Airflow's own pages and REST API show."""
