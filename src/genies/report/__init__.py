"""Reports on a results folder: statistics, tables, data frames and pages. Imports no torch."""
