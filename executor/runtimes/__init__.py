"""What an attempt runs in: a container of a Docker engine, or plain processes of this machine."""
