"""The Airflow DAGs: wiring and nothing else."""
