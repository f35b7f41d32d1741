"""`ray job submit --working-dir . -- python jobs/report.py …`: the same as `scantseg report …` on the cluster's head."""

from framework.cli.main import main

if __name__ == "__main__":
    main("report")
