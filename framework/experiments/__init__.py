"""Many runs: pipelines of stages, comparisons over seeds, searches."""
