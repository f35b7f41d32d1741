"""`ray job submit --working-dir . -- python jobs/run.py …`: the same as `scantseg run …` on the cluster's head."""

from framework.cli.main import main

if __name__ == "__main__":
    main("run")
