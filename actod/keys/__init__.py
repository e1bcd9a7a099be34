"""The signer process and the client that speaks to it."""
