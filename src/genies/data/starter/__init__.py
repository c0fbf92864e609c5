"""The starter suite: small distributions of our own, made by a seeded generator and kept under distributions/."""
