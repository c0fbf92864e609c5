"""The functions behind `import genies` that run models or studies; see docs/library.md."""
