"""The Mesos framework of Swath: `python -m scheduler`."""
