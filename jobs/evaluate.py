"""`ray job submit --working-dir . -- python jobs/evaluate.py …`: the same as `scantseg evaluate …` on the cluster's head."""

from framework.cli.main import main

if __name__ == "__main__":
    main("evaluate")
