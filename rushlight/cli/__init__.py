"""The command line. Its modules import the framework only when a command needs it."""
