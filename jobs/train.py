"""`ray job submit --working-dir . -- python jobs/train.py …`: the same as `scantseg train …` on the cluster's head."""

from framework.cli.main import main

if __name__ == "__main__":
    main("train")
