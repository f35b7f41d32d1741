"""Any verb on a cluster: `ray job submit --working-dir . -- python jobs/scantseg.py VERB …`."""

from framework.cli.main import main

if __name__ == "__main__":
    main()
