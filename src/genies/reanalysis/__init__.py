"""The results of the 2023 release, analysed again with intervals: see docs/reanalysis-2023.md."""
