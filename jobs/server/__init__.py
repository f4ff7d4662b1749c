"""The server on one machine: PostgreSQL, Airflow and Spark standalone, without containers."""
