"""`ray job submit --working-dir . -- python jobs/pseudolabel.py …`: the same as `scantseg pseudolabel …` on the cluster's head."""

from framework.cli.main import main

if __name__ == "__main__":
    main("pseudolabel")
