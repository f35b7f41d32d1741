"""`ray job submit --working-dir . -- python jobs/compare.py …`: the same as `scantseg compare …` on the cluster's head."""

from framework.cli.main import main

if __name__ == "__main__":
    main("compare")
