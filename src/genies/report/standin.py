"""The verdict of genies.metrics, under the name that the report's modules import it by."""

from genies.metrics.verdict import Difference, adjust, difference_on_shift, difference_over_shifts

__all__ = ["Difference", "adjust", "difference_on_shift", "difference_over_shifts"]
