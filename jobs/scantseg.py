"""`ray job submit --working-dir . -- python jobs/scantseg.py VERB …`: the same as `scantseg VERB …` on the cluster's head."""

from framework.cli.main import main

if __name__ == "__main__":
    main()
