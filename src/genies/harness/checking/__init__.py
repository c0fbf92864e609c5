"""Check an intervention's folder against the contract, on a made tiny model and made distributions."""
