"""What a results folder says: statistics, tables, data frames and pages. Never torch."""
