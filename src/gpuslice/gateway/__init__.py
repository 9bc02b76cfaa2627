"""The one endpoint in front of all servers."""
