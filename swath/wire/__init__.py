"""The Mesos v1 wire: RecordIO, message builders, enums, the `masters` setting and the hardened pymesos drivers."""
