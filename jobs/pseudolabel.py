"""`scantseg pseudolabel …` on a cluster: `ray job submit --working-dir . -- python jobs/pseudolabel.py …`."""

from framework.cli.main import main

if __name__ == "__main__":
    main("pseudolabel")
