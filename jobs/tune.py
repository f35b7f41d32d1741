"""`ray job submit --working-dir . -- python jobs/tune.py …`: the same as `scantseg tune …` on the cluster's head."""

from framework.cli.main import main

if __name__ == "__main__":
    main("tune")
