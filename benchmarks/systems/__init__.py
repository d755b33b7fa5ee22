"""Systems that run many small tasks on this machine, each with so many slots: rivals, and Swath itself."""
