"""Check an intervention's folder against the contract, on a generated tiny model and generated distributions."""
