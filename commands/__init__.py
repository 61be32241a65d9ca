"""The sub-commands of `stochep`, a module a subject: argument handling only, every other package imported inside its command."""
