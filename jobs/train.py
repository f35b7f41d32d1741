"""`scantseg train …` on a cluster: `ray job submit --working-dir . -- python jobs/train.py …`."""

from framework.cli.main import main

if __name__ == "__main__":
    main("train")
