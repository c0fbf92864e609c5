"""Plan, run and keep the steps of a request, and make its table. Imports no torch, ever."""
