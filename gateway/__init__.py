"""The doors: WebSocket, gRPC and OpenAI's HTTP on one port each, for every public method of the contract."""
