"""The starter suite: small distributions of this project in distributions/, written by a seeded generator."""
