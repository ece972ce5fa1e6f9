"""cli: the command line. Talks only to the agent's Local API and the coordinator's admin API."""
