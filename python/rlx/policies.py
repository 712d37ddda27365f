class Policy: pass
def load_policy(p): pass
