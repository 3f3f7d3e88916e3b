"""The metadata database: rows of XComs, runs of Dags."""
