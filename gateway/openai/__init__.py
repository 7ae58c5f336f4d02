"""OpenAI's HTTP interface over the typed clients of the contract."""
