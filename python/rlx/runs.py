"""Runs that rlx wrote, as data frames."""
def runs(path): raise NotImplementedError
class Run: pass
class Runs: pass
